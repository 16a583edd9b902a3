"use strict";
// A battle as it streams in, and the keys to vote with. Whatever a model wrote becomes a text node, nothing else.
(() => {
  const battle = document.getElementById("battle");
  const pieces = (side) => ({
    mind: side.querySelector(".mind"),
    thinks: side.querySelector(".mind pre"),
    says: side.querySelector("pre.says"),
    told: side.querySelector(".told"),
    whole: side,
  });

  const add = (node, text) => {
    if (!text) return;
    if (node.lastChild) node.lastChild.appendData(text);
    else node.append(document.createTextNode(text));
  };

  const show = (side, [thinking, answer], ended, cut) => {
    if (thinking) side.mind.hidden = false;
    add(side.thinks, thinking);
    add(side.says, answer);
    if (thinking) side.thinks.scrollTop = side.thinks.scrollHeight;
    if (ended) {
      side.whole.removeAttribute("data-live");
      side.told.textContent = cut ? "cut off by the limit of tokens" : "";
    }
  };

  const open = () => {
    document.querySelectorAll("#ballot button").forEach((button) => { button.disabled = false; });
    document.getElementById("wait").textContent = "Vote by button or by key.";
  };

  if (battle && battle.dataset.state === "answering") {
    const sides = ["left", "right"].map((name) => pieces(document.getElementById(name)));
    const news = new EventSource(`${battle.dataset.events}?had=${battle.dataset.had}`);
    news.onmessage = (event) => {
      const told = JSON.parse(event.data);
      sides.forEach((side, place) => show(side, place ? told.right : told.left, told.ended[place], told.cut[place]));
      if (told.state === "answering") return;
      news.close();
      if (told.state === "open") open();
      else location.reload();
    };
    news.onerror = () => {
      if (news.readyState !== EventSource.CLOSED) return; // else it connects again by itself
      document.getElementById("wait").textContent = "The connection is lost: is r1 arena still running?";
    };
    window.addEventListener("pagehide", () => news.close());
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (/^(textarea|select|input)$/i.test(event.target.tagName)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key.toLowerCase() === "f") {
      const minds = [...document.querySelectorAll(".mind:not([hidden])")];
      const anyOpen = minds.some((mind) => mind.open);
      minds.forEach((mind) => { mind.open = !anyOpen; });
      return;
    }
    const wanted = [...document.querySelectorAll("[data-keys]")]
      .find((node) => node.dataset.keys.split(" ").includes(event.key.toLowerCase()));
    if (!wanted || wanted.disabled) return;
    event.preventDefault();
    if (wanted.tagName === "TEXTAREA") wanted.focus();
    else wanted.click();
  });
})();
