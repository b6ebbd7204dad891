"""The style sheet of every page: light and dark by the reader's own setting."""

from typing import Final

CSS: Final = """
:root {
  color-scheme: light dark;
  --page: #f9f9f7; --surface: #fcfcfb; --ink: #0b0b0b; --ink-2: #52514e; --muted: #898781;
  --grid: #e1e0d9; --axis: #c3c2b7; --border: rgba(11, 11, 11, 0.10);
  --s1: #2a78d6; --s2: #1baf7a; --s3: #4a3aa7; --s4: #e87ba4;
  --fire: #d03b3b; --pending: #eda100; --act: #2a78d6; --hold: #b7d3f6; --really: #4a3aa7;
  --breach: rgba(208, 59, 59, 0.07); --code: #f0efec; --good: #006300;
  --badge-good: #006300; --badge-bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d0d0d; --surface: #1a1a19; --ink: #ffffff; --ink-2: #c3c2b7; --muted: #898781;
    --grid: #2c2c2a; --axis: #383835; --border: rgba(255, 255, 255, 0.10);
    --s1: #3987e5; --s2: #199e70; --s3: #9085e9; --s4: #d55181;
    --fire: #e66767; --pending: #c98500; --act: #3987e5; --hold: #184f95; --really: #9085e9;
    --breach: rgba(230, 103, 103, 0.10); --code: #2c2c2a; --good: #0ca30c;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 40px 0 8px; }
h3 { font-size: 15px; margin: 0 0 4px; }
p { margin: 6px 0; max-width: 75ch; }
a { color: var(--act); }
.sub, .note { color: var(--ink-2); }
.note { font-size: 13px; }
.verdict { font-size: 18px; margin: 16px 0; max-width: 65ch; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 10px; }
.tile, .card, .figure { background: var(--surface); border: 1px solid var(--border);
  border-radius: 8px; padding: 12px 14px; }
.tile b { display: block; font-size: 26px; line-height: 1.2; font-weight: 600; }
.tile span { color: var(--ink-2); font-size: 13px; }
.card, .figure { margin: 12px 0; scroll-margin-top: 12px; }
.card:target { outline: 2px solid var(--act); }
.wide { overflow-x: auto; }
.to-end { direction: rtl; } .to-end > svg { direction: ltr; }
.wide > svg { min-width: 760px; }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
table { border-collapse: collapse; width: 100%; font-size: 14px; margin: 8px 0; }
th { text-align: left; font-weight: 500; color: var(--ink-2); }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--grid); vertical-align: top; }
code, pre { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
  background: var(--code); border-radius: 4px; padding: 1px 4px; overflow-wrap: anywhere; }
pre { padding: 8px 10px; margin: 6px 0; white-space: pre-wrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 8px 0; }
dt { font-weight: 600; } dd { margin: 0; color: var(--ink-2); }
details { margin: 12px 0 0; }
details > summary { cursor: pointer; color: var(--ink-2); font-size: 14px; }
.badge { display: inline-block; border-radius: 10px; padding: 0 9px; font-size: 13px;
  font-weight: 600; color: #ffffff; background: var(--act); }
.badge.no { background: none; color: var(--ink); border: 1px solid var(--pending); }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; color: var(--ink-2); font-size: 13px;
  margin: 6px 0; }
.key svg { display: inline-block; width: 22px; height: 12px; margin-right: 5px;
  vertical-align: -1px; }
.bad { color: var(--fire); font-weight: 600; }
.t { fill: var(--ink); } .t2 { fill: var(--ink-2); } .tm { fill: var(--muted); }
.grid { stroke: var(--grid); } .axis { stroke: var(--axis); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.s1 { stroke: var(--s1); } .s2 { stroke: var(--s2); } .s3 { stroke: var(--s3); }
.s4 { stroke: var(--s4); } .dot1 { fill: var(--s1); } .dot2 { fill: var(--s2); }
.dot3 { fill: var(--s3); } .dot4 { fill: var(--s4); }
.threshold { stroke: var(--ink-2); stroke-dasharray: 5 4; stroke-width: 1.5; }
.breach { fill: var(--breach); }
.fire { fill: var(--fire); stroke: var(--surface); stroke-width: 2; }
.bar-fire { fill: var(--fire); } .bar-pending { fill: var(--pending); opacity: 0.75; }
.pending { fill: var(--surface); stroke: var(--pending); stroke-width: 2; }
.act { stroke: var(--act); stroke-width: 2; } .act-flag { fill: var(--act); }
.no { stroke: var(--pending); stroke-width: 2; stroke-dasharray: 2 3; }
.cross { stroke: var(--pending); stroke-width: 2.5; fill: none; }
.flag-text { fill: #ffffff; font-weight: 600; font-size: 11px; }
.hold { fill: var(--hold); }
.cool { fill: var(--axis); opacity: 0.6; } .really { fill: var(--really); }
.hold-band { fill: var(--hold); opacity: 0.28; }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr));
  gap: 12px; margin: 16px 0; }
.answers .card { margin: 0; } .answers h2 { font-size: 15px; margin: 0 0 4px; color: var(--ink-2);
  font-weight: 600; }
h1 .badge { font-size: 15px; vertical-align: 4px; }
.badge.good { background: var(--badge-good); } .badge.bad-badge { background: var(--badge-bad); }
td > .name { white-space: nowrap; overflow-wrap: normal; }
.mark { stroke: var(--act); stroke-width: 1.5; }
.mark-trigger { stroke: var(--fire); } .mark-green { stroke: var(--good); }
footer { margin-top: 48px; color: var(--muted); font-size: 13px; }
@media (max-width: 700px) { .wide > table { min-width: 640px; } }
@media (max-width: 480px) { main { padding: 20px 14px 48px; } h1 { font-size: 21px; }
  th, td { padding-right: 10px; } }
@media print { body { background: #ffffff; } .card, .figure { break-inside: avoid; } }
"""
