// Charts of live windows. A page declares series as formulas; here they become ECharts data.

import { clock, evaluate, formats, fullClock, moment, number, setText, short, shortDate, zero } from "./figures.js";

let palette = 0;

/** Colours changed: the next drawing starts from an empty chart. */
export function repaint() {
  palette += 1;
}

/** How a chart's axis and tooltip name a moment, by the width of its windows. */
const NAMES = {
  second5: { axis: clock, full: fullClock, every: 120000 },
  minute: { axis: clock, full: clock, every: 600000 },
  hour: { axis: clock, full: moment },
  week: { axis: shortDate, full: moment, shown: (start) => new Date(start).getHours() === 0 },
  day: { axis: shortDate, full: shortDate },
};

const token = (name) => getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();

/** Draw every chart of the page; `again` is called when one is not there yet. */
export function drawCharts(state, starts, again) {
  for (const figure of document.querySelectorAll("[data-live-chart]")) {
    figure.declared ??= JSON.parse(figure.dataset.liveChart);
    const element = document.getElementById(figure.declared.chart);
    const component = window.getElement?.(Number(figure.declared.chart.slice(1)));
    const chart = element && component?.chart;
    if (!chart) {
      setTimeout(again, 50);
      continue;
    }
    drawChart(figure, chart, state, starts);
  }
}

function drawChart(figure, chart, state, starts) {
  const { window: width, series } = figure.declared;
  const at = starts(width);
  const values = series.map((one) =>
    at.map((start) => {
      const window = state[width].get(start);
      const value = evaluate(one.formula, window ?? zero);
      return one.shape === "line" && value === null ? null : (value ?? 0);
    }),
  );
  if (figure.palette !== palette) {
    chart.setOption(skeleton(series, width), { notMerge: true });
    figure.palette = palette;
  }
  chart.setOption({ xAxis: { data: at }, series: values.map((data) => ({ data })) }, { lazyUpdate: true });
  summarise(figure, series, values);
}

export function skeleton(series, width) {
  const names = NAMES[width] ?? NAMES.day;
  const shown = names.shown ?? (names.every && ((start) => start % names.every === 0));
  const style = { color: token("muted"), fontFamily: token("font"), fontSize: 11 };
  const axis = (kind, show) => ({
    type: "value",
    min: 0,
    splitNumber: 3,
    minInterval: kind === "integer" ? 1 : 0,
    splitLine: { show, lineStyle: { color: token("line") } },
    axisLabel: { ...style, formatter: (value) => axisLabel(kind, value) },
  });
  const kinds = [0, 1].map((index) => series.find((one) => (one.axis ?? 0) === index)?.kind);
  return {
    animation: false,
    textStyle: { fontFamily: token("font") },
    grid: { left: 8, right: kinds[1] ? 8 : 28, top: 34, bottom: 4, containLabel: true },
    legend: {
      top: 0,
      left: 0,
      itemWidth: 10,
      itemHeight: 10,
      itemGap: 14,
      icon: "roundRect",
      textStyle: { ...style, fontSize: 12 },
      inactiveColor: token("line"),
    },
    tooltip: {
      trigger: "axis",
      confine: true,
      backgroundColor: token("surface"),
      borderColor: token("line"),
      textStyle: { color: token("ink"), fontSize: 12 },
      axisPointer: { type: "line", lineStyle: { color: token("control") } },
      formatter: (points) => tooltip(series, points, width),
    },
    xAxis: {
      type: "category",
      data: [],
      axisTick: { show: false },
      axisLine: { lineStyle: { color: token("line") } },
      axisLabel: {
        ...style,
        hideOverlap: true,
        ...(shown ? { interval: (_, start) => shown(Number(start)) } : {}),
        formatter: (start) => names.axis.format(Number(start)),
      },
    },
    yAxis: kinds[1] ? [axis(kinds[0], true), axis(kinds[1], false)] : axis(kinds[0], true),
    series: series.map((one) => ({
      name: one.name,
      type: one.shape,
      stack: one.stack || undefined,
      yAxisIndex: one.axis ?? 0,
      color: token(one.color),
      barCategoryGap: "25%",
      symbol: "circle",
      symbolSize: 4,
      showSymbol: one.shape === "line" && !["hour", "week"].includes(width),
      lineStyle: { width: 2 },
      connectNulls: true,
      data: [],
    })),
  };
}

function axisLabel(kind, value) {
  if (kind === "duration") return formats.duration(value);
  return value < 1e4 ? number({ maximumFractionDigits: 4 }).format(value) : short.format(value);
}

function tooltip(series, points, width) {
  const start = Number(points[0].axisValue);
  const box = document.createElement("div");
  const head = document.createElement("strong");
  head.textContent = (NAMES[width] ?? NAMES.day).full.format(start);
  box.append(head);
  for (const point of points) {
    if (point.value === null || point.value === undefined) continue;
    const line = document.createElement("div");
    line.textContent = `${point.seriesName}: ${formats[series[point.seriesIndex].kind](point.value)}`;
    box.append(line);
  }
  return box;
}

/** The chart in words: what screen readers read and tests compare. */
function summarise(figure, series, values) {
  const parts = series.map((one, index) => {
    const known = values[index].filter((value) => value !== null);
    const sum = known.reduce((total, value) => total + value, 0);
    const shown = one.formula.per?.length ? (known.length ? sum / known.length : 0) : sum;
    return `${one.name} ${formats[one.kind](shown)}`;
  });
  setText(figure.querySelector("[data-live-summary]"), `${figure.dataset.liveTitle}: ${parts.join(", ")}`);
}
