// What the whole page does: the scheme of colours, and the download buttons of the charts.
(() => {
  const root = document.documentElement
  const system = matchMedia("(prefers-color-scheme: dark)")
  const chosen = () => { try { return localStorage.getItem("ml-guard-scheme") } catch { return null } }
  const wanted = () => chosen() || (system.matches ? "dark" : "light")
  const told = () => (document.cookie.match(/(?:^|; )ml_guard_scheme=(\w+)/) || [])[1]
  const tell = () => { document.cookie = `ml_guard_scheme=${wanted()}; path=/; max-age=31536000; samesite=lax` }

  root.dataset.scheme = wanted()
  if (told() !== wanted()) {
    tell()
    // The charts are drawn in the colours that the cookie told; ask once more, now that it tells them.
    if (root.dataset.drawn && root.dataset.drawn !== wanted() && told() === wanted()) location.reload()
  }

  const save = (blob, name) => {
    const link = document.createElement("a")
    link.href = URL.createObjectURL(blob)
    link.download = name
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 1000)
  }
  const found = (name) => {
    for (const one of window.Bokeh?.documents ?? []) {
      const model = one.get_model_by_name(name)
      if (model) return model
    }
    return null
  }
  const cell = (value) => {
    const text = value === null || value === undefined || Number.isNaN(value) ? "" : String(value)
    // A leading sign of a formula is disarmed, for the spreadsheet that will open this.
    const safe = /^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
  }
  const csv = (source, columns) => {
    const lists = columns.map((name) => [...source.data.get?.(name) ?? source.data[name]])
    const rows = [columns, ...lists[0].map((_, index) => lists.map((list) => list[index]))]
    return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n"
  }

  document.addEventListener("click", async (event) => {
    const button = event.composedPath().find((node) => node.dataset?.get || node.dataset?.scheme === "turn")
    if (!button) return
    if (button.dataset.scheme === "turn") {
      localStorage.setItem("ml-guard-scheme", wanted() === "dark" ? "light" : "dark")
      tell()
      location.reload()
      return
    }
    const name = button.dataset.chart
    if (button.dataset.get === "csv") {
      const source = found(`${name}-data`)
      save(new Blob([csv(source, source.tags)], {type: "text/csv"}), `${button.dataset.file}.csv`)
    } else {
      const view = window.Bokeh.index.find_one(found(name))
      save(await view.export("png").to_blob(), `${button.dataset.file}.png`)
    }
  })
})()
