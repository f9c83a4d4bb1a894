// The box that asks the model, and the light that tells whether the gateway is ready.
// Everything shown is set as text, never as markup.

const SHOWN = 6;

function bar(genre, probability, passed) {
  const row = document.createElement("li");
  row.className = passed ? "passed" : "";
  const name = document.createElement("span");
  name.textContent = genre;
  const share = document.createElement("span");
  share.className = "share";
  share.append(document.createElement("span"));
  share.firstChild.style.width = `${probability * 100}%`;
  const number = document.createElement("span");
  number.className = "number";
  number.textContent = `${Math.round(probability * 100)} %`;
  row.append(name, share, number);
  return row;
}

function show(answer, item) {
  answer.querySelector("[data-verdict]").textContent = item.abstained
    ? "The model would rather not say: no genre is likely enough."
    : item.genres.join(", ");
  const passed = new Set(item.genres);
  const ranked = Object.entries(item.probabilities).sort((one, other) => other[1] - one[1]);
  answer
    .querySelector("[data-bars]")
    .replaceChildren(...ranked.slice(0, SHOWN).map(([genre, p]) => bar(genre, p, passed.has(genre))));
  answer.querySelector("[data-source]").textContent =
    `Model ${item.model.version}, prediction ${item.prediction_id}` +
    (item.recorded ? "" : " (not recorded)");
}

function complain(answer, text) {
  answer.querySelector("[data-verdict]").textContent = text;
  answer.querySelector("[data-bars]").replaceChildren();
  answer.querySelector("[data-source]").textContent = "";
}

async function ask(form) {
  const answer = form.parentElement.querySelector("[data-answer]");
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const response = await fetch("/v1/genres", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ items: [Object.fromEntries(new FormData(form))] }),
    });
    const body = await response.json();
    if (response.ok) show(answer, body.items[0]);
    else complain(answer, `${body.title}: ${body.detail}.`);
  } catch {
    complain(answer, "The gateway can't be reached right now.");
  } finally {
    answer.hidden = false;
    button.disabled = false;
  }
}

async function tellHealth(health) {
  const text = health.querySelector("[data-health-text]");
  try {
    const response = await fetch("/readyz", { cache: "no-store" });
    health.dataset.health = response.ok ? "ready" : "waiting";
    text.textContent = response.ok ? "all is well" : await response.text();
  } catch {
    health.dataset.health = "waiting";
    text.textContent = "the gateway can't be reached";
  }
}

for (const form of document.querySelectorAll("form[data-ask]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(form);
  });
}
for (const health of document.querySelectorAll("[data-health]")) tellHealth(health);
