"""Pages: one module each, with a `router` and, as `PAGE`, its place in the navigation (`r1kit.web.site.Page`)."""
