// Charts of past usage: the page gives each figure its numbers (`data-history`), here they become ECharts data.

import { skeleton } from "./charts.js";

const drawn = new WeakMap();
const FEW = 12;

function draw(figure) {
  const told = figure.dataset.history;
  const { chart: id, window: width, at, series } = JSON.parse(told);
  const component = window.getElement?.(Number(id.slice(1)));
  const chart = document.getElementById(id) && component?.chart;
  if (!chart) return false;
  chart.setOption(skeleton(series, width), { notMerge: true });
  chart.setOption({ xAxis: { data: at }, series: series.map(pointed) });
  drawn.set(figure, told);
  return true;
}

/** A line needs two points to be seen: with few, or one, each is drawn as a dot. */
function pointed({ values, shape }) {
  const known = values.filter((value) => value !== null).length;
  // Else only the points whose time has a label beneath it are given one.
  const dots = { showSymbol: true, showAllSymbol: true, symbolSize: 7 };
  return { data: values, ...(shape === "line" && known <= FEW && dots) };
}

function drawAll(again) {
  let waiting = false;
  for (const figure of document.querySelectorAll("[data-history]")) {
    if (!again && drawn.get(figure) === figure.dataset.history) continue;
    waiting = !draw(figure) || waiting;
  }
  if (waiting) setTimeout(drawAll, 60);
}

new MutationObserver(() => drawAll(false)).observe(document.body, {
  childList: true,
  subtree: true,
  attributes: true,
  attributeFilter: ["data-history"],
});
new MutationObserver(() => drawAll(true)).observe(document.body, { attributeFilter: ["class"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(true));
drawAll(false);
