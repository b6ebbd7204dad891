"""Pages and plots as text: inline SVG and CSS, no script, no request. Pure."""
