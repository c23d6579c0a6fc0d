(function () {
  "use strict";
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const hidden = new Set();
  const plots = Array.from(document.querySelectorAll(".plot"));

  // Sorting: within each model, variants that are not ranked below the others, missing figures last, and the order of
  // measuring again after the third press.
  function key(row, column) {
    const text = row.cells[column].dataset.sort;
    if (text === undefined) return null;
    return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  }
  function compare(a, b) {
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  }
  function sortTable(table, header, column) {
    const next = { none: "ascending", ascending: "descending", descending: "none" }[header.getAttribute("aria-sort") || "none"];
    table.querySelectorAll("[aria-sort]").forEach((other) => other.setAttribute("aria-sort", "none"));
    header.setAttribute("aria-sort", next);
    for (const body of table.tBodies) {
      const rows = Array.from(body.querySelectorAll("tr.variant"));
      rows.sort((left, right) => {
        const apart = left.classList.contains("unranked") - right.classList.contains("unranked");
        if (apart && next !== "none") return apart;
        if (next === "none") return left.dataset.place - right.dataset.place;
        const a = key(left, column), b = key(right, column);
        if (a === null || b === null) return (a === null) - (b === null) || left.dataset.place - right.dataset.place;
        return (next === "ascending" ? compare(a, b) : compare(b, a)) || left.dataset.place - right.dataset.place;
      });
      rows.forEach((row) => body.appendChild(row));
    }
    const name = header.textContent.trim().replace(/\s+/g, " ");
    document.getElementById("sorted").textContent = next === "none" ? "Order of measuring" : "Sorted by " + name + ", " + next;
  }
  document.querySelectorAll("table[data-sortable]").forEach((table) => {
    table.querySelectorAll("tr.variant").forEach((row, place) => { row.dataset.place = place; });
    table.querySelectorAll(".titles th").forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      header.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sortTable(table, header, column));
    });
  });

  // Charts: figure data names colours as var(--name); the style sheet knows them, so a chart follows the theme.
  // What all figures share is the template.
  const axis = { gridcolor: "var(--grid)", linecolor: "var(--rule)", zeroline: false, fixedrange: true, showline: false };
  const template = {
    layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, dragmode: false, hovermode: "closest",
      font: { family: "var(--sans)", size: 12, color: "var(--muted)" },
      hoverlabel: { bgcolor: "var(--page)", bordercolor: "var(--rule)", align: "left", font: { family: "var(--sans)", size: 12, color: "var(--ink)" } },
      xaxis: axis, yaxis: axis,
      shapedefaults: { xref: "paper", x0: 0, x1: 1, layer: "above", line: { width: 1.5 } },
      annotationdefaults: { xref: "paper", yref: "paper", x: 1, y: 1, xanchor: "right", yanchor: "bottom", showarrow: false },
    },
    data: {
      scatter: [{ hoverinfo: "text", cliponaxis: false, line: { width: 2 }, marker: { size: 8, line: { width: 1.5 } } }],
      bar: [{ hoverinfo: "text", width: 0.62, marker: {
        line: { color: "var(--page)", width: 1 }, pattern: { fillmode: "overlay", fgcolor: "var(--page)", size: 7, solidity: 0.35 },
      } }],
    },
  };
  function themed(value, style) {
    if (typeof value === "string" && value.startsWith("var(--")) return style.getPropertyValue(value.slice(4, -1)).trim();
    if (Array.isArray(value)) return value.map((item) => themed(item, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, themed(item, style)]));
    }
    return value;
  }
  function stageOf(chart) {
    const select = Array.from(document.querySelectorAll("[data-stage]")).find((item) => item.dataset.stage === chart);
    return select ? select.value : null;
  }
  function draw(plot, width) {
    const choices = figures[plot.dataset.chart][Number(plot.dataset.panel)];
    const stage = stageOf(plot.dataset.chart);
    const chosen = stage !== null && stage in choices ? choices[stage] : choices[Object.keys(choices)[0]];
    const style = getComputedStyle(root);
    const figure = themed(chosen, style);
    figure.layout.template = themed(template, style);
    figure.layout.height = figure.layout.height || 360;
    figure.layout.margin = { l: 52, r: 20, t: 24, b: 48 };
    figure.data.forEach((trace) => { trace.visible = !(trace.meta && hidden.has(trace.meta)); });
    const room = width || plot.clientWidth;
    figure.layout.width = room;
    if (room < 480) {
      figure.layout.hovermode = "closest";
      figure.layout.font = { size: 11 };
      figure.layout.margin.l = 44;
    }
    return window.Plotly.react(plot, figure.data, figure.layout, { displayModeBar: false, displaylogo: false, showTips: false });
  }
  let unpacked = false;
  function drawAll(list, width) {
    if (!unpacked) return;
    list.forEach((plot) => {
      try {
        if (!window.Plotly) throw new Error("the browser cannot unpack the drawing library");
        draw(plot, width);
      } catch (error) {
        plot.textContent = "This chart could not be drawn (" + error.message + "); its figures are in the table below.";
      }
    });
  }
  function chartsOf(element) {
    return Array.from(element.closest(".model-charts").querySelectorAll(".plot"));
  }
  document.querySelectorAll("[data-toggle]").forEach((button) => {
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!shown));
      if (shown) hidden.add(button.dataset.toggle); else hidden.delete(button.dataset.toggle);
      drawAll(chartsOf(button));
    });
  });
  document.querySelectorAll("[data-stage]").forEach((select) => {
    select.addEventListener("change", () => {
      drawAll(chartsOf(select).filter((plot) => plot.dataset.chart === select.dataset.stage));
    });
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(plots));
  let waiting = 0;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => drawAll(plots), 120);
  });

  // Paper is white and narrower: charts are drawn again for it, and the folded checks are opened.
  const PAPER = 480;
  let opened = [];
  window.addEventListener("beforeprint", () => {
    root.classList.add("printing");
    opened = Array.from(document.querySelectorAll("#validity details:not([open]), #comparison details:not([open])"));
    opened.forEach((item) => { item.open = true; });
    drawAll(plots, PAPER);
  });
  window.addEventListener("afterprint", () => {
    root.classList.remove("printing");
    opened.forEach((item) => { item.open = false; });
    drawAll(plots);
  });

  const link = document.getElementById("report-download");
  const text = document.getElementById("report-json").textContent;
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));

  // plotly comes packed; the browser unpacks it, and nothing is fetched.
  async function unpack(packed) {
    const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }
  const packed = document.getElementById("plotly");
  (packed ? unpack(packed) : Promise.resolve())
    .catch(() => undefined) // an old browser: drawAll says so in each chart's place
    .then(() => { unpacked = true; drawAll(plots); root.dataset.ready = "true"; });
})();
