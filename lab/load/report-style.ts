/** The report's style sheet: one set of colors for light and one for dark, and nothing from elsewhere. */
export const REPORT_STYLE = `
:root {
  color-scheme: light dark;
  --page: #f6f6f3; --card: #ffffff; --ink: #1c1c1a; --soft: #63635d; --rule: #e2e1da; --grid: #ecebe6;
  --good: #0a7a48; --good-tint: #e2f4ea; --bad: #c2321f; --bad-tint: #fbe6e2; --warn: #8a5a00; --warn-tint: #fbf0d6;
  --right: #2f6fc4; --refused: #b9bdc4; --unexpected: #e0940f; --wrong: #d03a2b;
  --p50: #7fb2ee; --p99: #1f4f96; --stopped: #7a4fb5;
  --s1: #2f6fc4; --s2: #e0940f; --s3: #12917e; --s4: #b64a8c; --s5: #7a4fb5; --s6: #8a8a82;
  --band-churn: #2f6fc412; --band-lag: #e0940f1c; --band-outage: #d03a2b1c; --band-recovery: #0a7a4814;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #161614; --card: #1f1f1c; --ink: #eeede7; --soft: #a3a29a; --rule: #34342f; --grid: #2b2b27;
    --good: #54c98d; --good-tint: #17352a; --bad: #ff8473; --bad-tint: #43201b; --warn: #f0bf5e; --warn-tint: #3b2f14;
    --right: #4d8fe6; --refused: #565a61; --unexpected: #e6a53a; --wrong: #f06152;
    --p50: #3d6fae; --p99: #8fbcf5; --stopped: #a987de;
    --s1: #4d8fe6; --s2: #e6a53a; --s3: #2fb7a1; --s4: #dd79b4; --s5: #a987de; --s6: #8f8f87;
    --band-churn: #4d8fe61c; --band-lag: #e6a53a22; --band-outage: #f0615226; --band-recovery: #54c98d1c;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 22px; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 16px; margin: 40px 0 10px; }
p { margin: 6px 0; color: var(--soft); max-width: 76ch; }
.verdict { border-radius: 10px; padding: 16px 20px; margin: 18px 0; background: var(--good-tint); }
.verdict.failed { background: var(--bad-tint); }
.verdict strong { color: var(--good); font-size: 19px; }
.verdict.failed strong { color: var(--bad); }
.verdict.inconclusive { background: var(--warn-tint); }
.verdict.inconclusive strong { color: var(--warn); }
.verdict ul { margin: 8px 0 0; padding-left: 20px; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(142px, 1fr)); gap: 12px; }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 12px 14px; }
.tile b { display: block; font-size: 23px; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.25; }
.tile span { color: var(--soft); font-size: 13px; }
.tile.bad b { color: var(--bad); }
figure, .card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; margin: 14px 0; padding: 14px 16px; }
figcaption { font-weight: 600; display: flex; justify-content: space-between; gap: 12px; }
figcaption span { color: var(--soft); font-weight: 400; font-size: 13px; }
svg { display: block; width: 100%; height: auto; margin-top: 6px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; margin: 6px 0 0; padding: 0; font-size: 13px; color: var(--soft); }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 6px; }
.grid { stroke: var(--grid); stroke-width: 1; }
.tick, .phase { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
.phase { font-weight: 600; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.area { stroke: var(--card); stroke-width: 0.75; }
.band { fill: transparent; } .band.churn { fill: var(--band-churn); } .band.lag { fill: var(--band-lag); }
.band.outage { fill: var(--band-outage); } .band.recovery { fill: var(--band-recovery); }
.hover { fill: transparent; } .hover:hover { fill: var(--soft); fill-opacity: 0.16; }
.scroll { overflow-x: auto; }
.columns > * { min-width: 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px 5px 0; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th:first-child, td.text { text-align: left; } td.text { white-space: normal; overflow-wrap: anywhere; }
thead th { color: var(--soft); font-weight: 500; font-size: 13px; }
tr:last-child > * { border-bottom: 0; }
tbody th { font-weight: 500; }
td.alarm { color: var(--bad); font-weight: 600; }
.bars th { width: 1%; padding-right: 16px; } .bars td:last-child { width: 1%; }
.bars i { display: block; height: 12px; min-width: 2px; border-radius: 3px; background: var(--stopped); }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(380px, 100%), 1fr)); gap: 0 28px; }
code { font: 13px ui-monospace, monospace; }
footer { margin-top: 40px; color: var(--soft); font-size: 13px; }
`;
