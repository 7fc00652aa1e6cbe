"""What does AWS say that a project costs?"""
