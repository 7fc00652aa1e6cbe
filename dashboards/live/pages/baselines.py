from dashboards.live.view import Page
class BaselinesPage(Page):
    title = "baselines"
    async def read(self): return None
    def lay_out(self): return []
    def paint(self, data): pass
