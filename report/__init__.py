"""Records -> summary -> verdict -> report: HTML, Markdown, terminal, JSON and JUnit."""
