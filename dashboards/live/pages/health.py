from dashboards.live.view import Page
class HealthPage(Page):
    title = "health"
    async def read(self): return None
    def lay_out(self): return []
    def paint(self, data): pass
