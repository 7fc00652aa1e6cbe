from dashboards.live.view import Page
class FeaturePage(Page):
    title = "feature"
    async def read(self): return None
    def lay_out(self): return []
    def paint(self, data): pass
