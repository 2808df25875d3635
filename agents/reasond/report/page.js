"use strict";
// Draws every chart of the page; what they show stands in the page as data.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  for (const place of document.querySelectorAll(".chart")) {
    const { data, layout, texts } = figures[Number(place.dataset.figure)];
    for (const trace of data) {
      if (trace.texts) {
        trace.hovertext = trace.texts.map((number) => texts[number]);
        delete trace.texts;
      }
    }
    Plotly.newPlot(place, data, layout, { displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
  }
})();
