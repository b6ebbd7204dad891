"""One page for somebody who has never seen this: inline SVG and CSS, no script, no request."""
