// A piece of HTML that is patched, not replaced: what has focus keeps it, what is scrolled stays there.
function same(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.nodeType !== 1 || a.id === b.id)
}

function patch(old, fresh) {
  if (old.nodeType !== 1) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue
    return
  }
  for (const {name} of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name)
  for (const {name, value} of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value)
  children(old, fresh)
}

function children(old, fresh) {
  const wanted = [...fresh.childNodes]
  wanted.forEach((node, index) => {
    const present = old.childNodes[index]
    if (!present) old.appendChild(node)
    else if (same(present, node)) patch(present, node)
    else old.replaceChild(node, present)
  })
  while (old.childNodes.length > wanted.length) old.removeChild(old.lastChild)
}

export function render({model}) {
  const root = document.createElement("div")
  root.className = "part"
  const paint = () => {
    const fresh = document.createElement("template")
    fresh.innerHTML = `<div>${model.html}</div>`
    children(root, fresh.content.firstChild)
  }
  const fieldsOf = (form) => {
    const fields = {}
    for (const [name, value] of new FormData(form)) (fields[name] ??= []).push(String(value))
    return fields
  }
  root.addEventListener("submit", (event) => {
    event.preventDefault()
    const action = event.submitter?.value || event.target.dataset.action
    model.send_msg({action, fields: fieldsOf(event.target)})
  })
  root.addEventListener("change", (event) => {
    const form = event.target.form
    if (form?.dataset.goto !== undefined) location.search = new URLSearchParams(new FormData(form)).toString()
  })
  model.on("html", paint)
  paint()
  // What grows to the right is looked at from its end, where today is.
  new ResizeObserver((_, observer) => {
    const strips = root.querySelectorAll("[data-end]")
    for (const strip of strips) strip.scrollLeft = strip.scrollWidth
    if (strips.length && root.offsetWidth) observer.disconnect()
  }).observe(root)
  return root
}
