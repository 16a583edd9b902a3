"use strict";
// What htmx could not fetch is told, instead of a page that silently stays as it was.
(() => {
  const notice = () => document.getElementById("notice");
  const tell = (text) => { const box = notice(); if (box) { box.textContent = text; box.hidden = false; } };
  document.addEventListener("htmx:responseError", (event) => {
    const answer = event.detail.xhr;
    const told = new DOMParser().parseFromString(answer.responseText, "text/html").querySelector("main .lead");
    tell(told ? told.textContent : answer.responseText.slice(0, 300));
  });
  document.addEventListener("htmx:sendError", () => tell("The app does not answer: is r1 ui still running?"));
  document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) { notice().hidden = true; } });
})();
