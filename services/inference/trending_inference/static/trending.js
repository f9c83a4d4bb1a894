// What the pages can do besides being read. Everything shown is set as text, never as markup.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const percent = (share) => `${Math.round(share * 100)} %`;

// ---------------------------------------------------------------- asking the gateway

/** Why there is no answer, in words for a person. */
class Refusal extends Error {}
class NeedsKey extends Refusal {}

const KEY = "trending-key";

const kept = {
  get: (where, name) => {
    try {
      return where().getItem(name);
    } catch {
      return null; // a browser may forbid us to keep anything
    }
  },
  set: (where, name, value) => {
    try {
      where().setItem(name, value);
    } catch {
      // then it holds for this page only
    }
  },
};
const thisTab = () => sessionStorage;
const thisBrowser = () => localStorage;
let key = kept.get(thisTab, KEY);

async function told(response) {
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // whoever stands between us speaks no JSON
  }
  const wait = Number(response.headers.get("Retry-After")) || 0;
  const again = wait ? ` Try again in ${wait} s.` : " Try again in a moment.";
  switch (response.status) {
    case 429:
      return `That was a lot in one minute.${again}`;
    case 503:
      return problem.type?.endsWith("model-not-found")
        ? "No genre model is in service yet."
        : `The gateway is busy right now.${again}`;
    case 413:
      return "That text is too long: 20,000 characters at most.";
    case 404:
      return "That isn’t on record yet, or any more. Try again in a few seconds.";
    default:
      return problem.detail ? `${problem.title}: ${problem.detail}.` : "The gateway couldn’t answer.";
  }
}

/**
 * The answer to a POST. If the gateway asks for a key, so do we, unless told to be `quiet`.
 * Throws `Refusal`, or `AbortError`.
 */
async function post(path, body, { signal, once, quiet } = {}) {
  for (;;) {
    const headers = { "Content-Type": "application/json" };
    if (once) headers["Idempotency-Key"] = once;
    if (key) headers.Authorization = `Bearer ${key}`;
    let response;
    try {
      response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal("The gateway can’t be reached right now.");
    }
    if (response.ok) return response.status === 204 ? null : response.json();
    if (response.status !== 401 && response.status !== 403) throw new Refusal(await told(response));
    if (quiet || !(await askForKey(response.status, Boolean(key)))) {
      throw new NeedsKey(key ? "This needs another key." : "This needs a key.");
    }
  }
}

function askForKey(status, sent) {
  const dialog = one("dialog[data-key]");
  if (dialog.open) return Promise.resolve(false);
  one("[data-key-why]", dialog).textContent = !sent
    ? "Reading is open to everybody; this needs a key with the scope for it."
    : status === 403
      ? "The key in this tab isn’t for this. Another one may be."
      : "The key in this tab isn’t known here, or has expired.";
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        const field = one("input", dialog);
        const given = dialog.returnValue === "use" && field.value.trim();
        field.value = "";
        if (given) {
          key = given;
          kept.set(thisTab, KEY, given);
        }
        resolve(Boolean(given));
      },
      { once: true },
    );
    dialog.returnValue = "";
    dialog.showModal();
  });
}

/** Run what a button asks for, once at a time, and say in `status` what is going on. */
async function working(button, status, doing, work) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  status.textContent = doing;
  try {
    status.textContent = (await work()) ?? "";
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    status.textContent = error.message;
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

// ---------------------------------------------------------------- classify

const PAUSE = 350; // ms without a key, before the model is asked
const WORDS = 3; // fewer say nothing
const NAMED = 2; // genres of a verdict

class Classifier {
  constructor(form) {
    this.form = form;
    this.answer = one("[data-answer]", form.parentElement);
    this.text = one("textarea", form);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask({ quiet: false });
    });
    this.text?.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.ask(), PAUSE);
    });
    if (this.text?.value) this.ask(); // the browser brought back what was written
  }

  /** While somebody types nothing may take the focus away: `quiet`. */
  async ask({ quiet = true } = {}) {
    clearTimeout(this.timer);
    this.asking?.abort(); // the last question counts
    if (this.text && this.text.value.trim().split(/\s+/).length < WORDS) {
      this.clear(this.text.value.trim() ? "A few words more…" : "The model hasn’t been asked yet.");
      return;
    }
    const asking = (this.asking = new AbortController());
    this.answer.setAttribute("aria-busy", "true");
    try {
      const item = Object.fromEntries(new FormData(this.form));
      const answer = await post("/v1/genres", { items: [item] }, { signal: asking.signal, quiet });
      if (asking === this.asking) this.show(answer.items[0]);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Refusal)) throw error;
      if (asking !== this.asking) return;
      this.clear(error.message);
      if (error instanceof NeedsKey) this.offerKey();
    } finally {
      if (asking === this.asking) this.answer.removeAttribute("aria-busy");
    }
  }

  offerKey() {
    const button = el("button", { type: "button", class: "quiet" }, "Enter a key");
    button.addEventListener("click", () => this.ask({ quiet: false }));
    one("[data-source]", this.answer).replaceChildren(button);
  }

  say(words, waits) {
    const verdict = one("[data-verdict]", this.answer);
    verdict.classList.toggle("waits", waits);
    if (verdict.textContent !== words) verdict.textContent = words;
  }

  clear(words) {
    this.say(words, true);
    for (const row of all("[data-genre]", this.answer)) bar(row, null, false);
    one("[data-source]", this.answer).replaceChildren();
  }

  show(item) {
    this.say(verdict(item), false);
    const passed = new Set(item.genres);
    for (const row of all("[data-genre]", this.answer)) {
      bar(row, item.probabilities[row.dataset.genre] ?? null, passed.has(row.dataset.genre));
    }
    const trace = el("a", { href: `/v1/predictions/${item.prediction_id}/lineage` }, "Where this answer comes from");
    const model = el("span", {}, "Model ", el("code", {}, item.model.version), item.recorded ? "" : ", not on record");
    one("[data-source]", this.answer).replaceChildren(model, trace);
    if (!this.text) return; // a title has its own way to report a problem
    const report = el("button", { type: "button", class: "quiet" }, "Report a problem");
    report.addEventListener("click", () => reporting.open({ prediction_id: item.prediction_id }, "this story", item.genres));
    one("[data-source]", this.answer).append(report);
  }
}

/** In two lines at most, so that nothing below moves; `wordings.verdict` says the same. */
function verdict({ abstained, genres, probabilities }) {
  if (abstained) {
    const [genre, share] = Object.entries(probabilities).sort((a, b) => b[1] - a[1])[0];
    return `No genre is likely enough; ${genre} comes nearest, at ${percent(share)}.`;
  }
  const more = genres.length - NAMED;
  return genres.slice(0, NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

function bar(row, share, passed) {
  row.classList.toggle("passed", passed);
  one(".fill", row).setAttribute("width", share === null ? 0 : (share * 100).toFixed(1));
  one("[data-share]", row).textContent = share === null ? "–" : percent(share);
}

// ---------------------------------------------------------------- insight

const BECAUSE = {
  "no-llm": "no language model is set up here",
  "over-budget": "today’s budget for the language model is used up",
  "llm-timed-out": "the language model took too long",
  "llm-unavailable": "the language model can’t be reached",
  "llm-denied": "the language model’s server didn’t let us ask",
  "llm-refused": "the language model refused",
  "llm-invalid": "the language model’s answer couldn’t be read",
  "nothing-supported": "nothing that the language model said is supported by the texts",
  "too-many-questions": "too many are asking at the moment",
  "catalog-unavailable": "its costs couldn’t be accounted for",
  "evidence-thin": "there is too little to read",
};
const HEADINGS = { story: "The story", praise: "What is praised", criticism: "What is criticised" };
const calm = matchMedia("(prefers-reduced-motion: reduce)");

class Insight {
  constructor(button) {
    const main = one("[data-title-id]");
    this.titleId = main.dataset.titleId;
    this.texts = { plot: one("[data-plot]", main), reviews: all("[data-review]", main) };
    this.originals = new Map([this.texts.plot, ...this.texts.reviews].map((node) => [node, node.textContent]));
    this.body = one("[data-insight-body]");
    button.hidden = false;
    button.addEventListener("click", () =>
      working(button, one("[data-insight-status]"), "Reading, which may take a while…", async () => {
        const answer = await post("/v1/insights", { title_id: this.titleId });
        this.show(answer);
        button.textContent = "Tell me again";
        const marked = this.cited.size;
        return answer.outcome === "abstained"
          ? "Nothing is claimed."
          : `${this.statements} statements; ${marked} sentence${marked === 1 ? " is" : "s are"} marked in the texts.`;
      }),
    );
    // A statement and its sentences light up together, whichever is pointed at or has the focus.
    for (const kind of ["pointerover", "focusin"]) {
      document.addEventListener(kind, (event) => this.light(event.target));
    }
  }

  show(answer) {
    this.statements = 0;
    this.cited = new Map(); // sentence id → [[letter, statement's id]]
    const sentences = new Map(answer.evidence.map((each) => [each.id, each]));
    const parts = [this.stamp(answer)];
    if (answer.outcome !== "abstained") {
      for (const kind of ["story", "praise", "criticism"]) {
        parts.push(...this.section(HEADINGS[kind], answer.claims.filter((claim) => claim.kind === kind), (claim) => [claim.text]));
      }
      parts.push(...this.section("Its moods", answer.vibes, (vibe) => [vibe.tag]));
      parts.push(
        ...this.section("Its genres", answer.genres, (found) => [
          found.genre,
          found.probability === null ? "" : el("span", { class: "soft number" }, ` ${percent(found.probability)}`),
        ]),
      );
      if (answer.score) {
        parts.push(
          el("p", {}, el("span", { class: "score number" }, answer.score.value.toFixed(1)), " of 10 by a rule"),
          el("p", { class: "small" }, `${answer.score.rated} ratings and ${answer.score.cited} cited voices. ${answer.score.rule}`),
        );
      }
    }
    if (answer.withheld) {
      parts.push(el("p", { class: "small" }, `${answer.withheld} of the texts gave orders to language models and were left out.`));
    }
    const dropped = Object.values(answer.dropped).reduce((sum, count) => sum + count, 0);
    if (dropped) {
      parts.push(el("p", { class: "small" }, `${dropped} of its statements had no support in the texts and were dropped.`));
    }
    this.body.replaceChildren(...parts);
    this.body.hidden = false;
    this.highlight(sentences);
  }

  stamp(answer) {
    const model = el("span", {}, "Model ", el("code", {}, answer.llm ?? "none"), `, prompt ${answer.prompt.name} `, el("code", {}, answer.prompt.version));
    const why = BECAUSE[answer.reason] ?? answer.reason;
    const words = {
      answered: ["Written by a model", `Checked against the texts sentence by sentence${answer.cached ? "; written earlier" : ""}.`],
      degraded: ["Not written by a model", `These are sentences as they stand, and the genre model’s genres: ${why}.`],
      abstained: ["Nothing is claimed", `What it is like can’t be told: ${why}.`],
    }[answer.outcome];
    const stamp = el("p", { class: "stamp", "data-stamp": answer.outcome }, el("strong", {}, words[0]), el("span", {}, words[1]));
    if (answer.outcome === "answered") stamp.append(model);
    return stamp;
  }

  section(heading, statements, words) {
    if (!statements.length) return [];
    const list = el("ul", { class: "claims" });
    for (const statement of statements) {
      const letter = String.fromCharCode(97 + (this.statements % 26)) + (this.statements >= 26 ? Math.floor(this.statements / 26) : "");
      this.statements += 1;
      const id = `claim-${letter}`;
      const item = el("li", { id, tabindex: "-1" }, el("span", { class: "letter", "aria-hidden": "true" }, letter), ...words(statement));
      for (const { id: sentence } of statement.evidence) {
        item.append(this.link(`sentence-${sentence}`, sentence.slice(1), `Sentence ${sentence.slice(1)}, on which this rests`));
        this.cited.set(sentence, [...(this.cited.get(sentence) ?? []), [letter, id]]);
      }
      list.append(item);
    }
    return [el("div", { class: "tight" }, el("h3", {}, heading), list)];
  }

  link(target, text, label) {
    const link = el("a", { class: "cite", href: `#${target}`, "aria-label": label }, text);
    link.addEventListener("click", (event) => {
      const node = document.getElementById(target);
      if (!node) return;
      event.preventDefault();
      for (let fold = node.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
      node.focus({ preventScroll: true });
      node.scrollIntoView({ block: "center", behavior: calm.matches ? "auto" : "smooth" });
    });
    return link;
  }

  /** Mark the cited sentences where they stand; places are counted in code points. */
  highlight(sentences) {
    const places = new Map([...this.originals.keys()].map((node) => [node, []]));
    for (const id of this.cited.keys()) {
      const sentence = sentences.get(id);
      const node = sentence && (sentence.part === "plot" ? this.texts.plot : this.texts.reviews[sentence.review]);
      if (node) places.get(node).push(sentence);
    }
    for (const [node, found] of places) {
      const points = Array.from(this.originals.get(node));
      const pieces = [];
      let done = 0;
      for (const { id, start, end } of found.sort((a, b) => a.start - b.start)) {
        if (start < done || end > points.length) continue;
        const mark = el("mark", { id: `sentence-${id}`, tabindex: "-1" }, points.slice(start, end).join(""));
        for (const [letter, claim] of this.cited.get(id)) mark.append(this.link(claim, letter, `Back to statement ${letter}`));
        pieces.push(points.slice(done, start).join(""), mark);
        done = end;
      }
      node.replaceChildren(...pieces, points.slice(done).join(""));
    }
  }

  light(target) {
    for (const node of all(".lit")) node.classList.remove("lit");
    const from = target.closest?.("mark, .claims li");
    if (!from) return;
    from.classList.add("lit");
    for (const link of all("a.cite", from)) document.getElementById(link.hash.slice(1))?.classList.add("lit");
  }
}

// ---------------------------------------------------------------- report a problem

const MOST_GENRES = 5;

const reporting = {
  dialog: one("dialog[data-report]"),

  open(about, name, genres) {
    this.about = about;
    this.once = [...crypto.getRandomValues(new Uint32Array(4))].join("-"); // sent twice, said once
    one("[data-report-name]", this.dialog).textContent = name;
    one("[data-report-status]", this.dialog).textContent = "";
    for (const box of all("input", this.dialog)) box.checked = genres.includes(box.value);
    this.dialog.showModal();
  },

  send() {
    const button = one("button[type=submit]", this.dialog);
    const genres = all("input:checked", this.dialog).map((box) => box.value);
    return working(button, one("[data-report-status]", this.dialog), "Sending…", async () => {
      if (genres.length < 1 || genres.length > MOST_GENRES) throw new Refusal("Choose one to five genres.");
      await post("/v1/feedback", { ...this.about, genres }, { once: this.once });
      this.dialog.close();
      toast("Thank you. The report is on record.");
    });
  },

  start() {
    one("form", this.dialog).addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    for (const button of all("[data-report-title]")) {
      button.hidden = false;
      const name = one("h2 bdi", button.closest(".entry") ?? document.createElement("p")) ?? one("h1 bdi");
      button.addEventListener("click", () =>
        this.open({ title_id: button.dataset.reportTitle }, name.textContent, JSON.parse(button.dataset.reportGenres)),
      );
    }
    for (const button of all("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());
  },
};

// ---------------------------------------------------------------- hide titles

const HIDDEN = "trending-hidden";
const MOST_HIDDEN = 500;

const hiding = {
  ids: [],

  start(board) {
    try {
      this.ids = JSON.parse(kept.get(thisBrowser, HIDDEN) ?? "[]");
    } catch {
      this.ids = []; // not what we wrote
    }
    this.entries = new Map(all("[data-title]", board).map((entry) => [entry.dataset.title, entry]));
    for (const [id, entry] of this.entries) {
      entry.hidden = this.ids.includes(id);
      one("[data-hide]", entry).addEventListener("click", (event) => {
        event.preventDefault();
        this.hide(id, entry);
      });
    }
    this.tell();
  },

  hide(id, entry) {
    const visible = [...this.entries.values()].filter((each) => !each.hidden);
    const next = visible[visible.indexOf(entry) + 1] ?? visible[visible.indexOf(entry) - 1];
    this.keep([...this.ids, id]);
    toast(`${one("h2", entry).textContent} is hidden.`, () => {
      this.keep(this.ids.filter((each) => each !== id));
      one("[data-hide]", entry).focus();
    });
    (next ? one("h2 a", next) : one("[data-undo]")).focus({ preventScroll: true });
  },

  keep(ids) {
    this.ids = ids.slice(-MOST_HIDDEN);
    kept.set(thisBrowser, HIDDEN, JSON.stringify(this.ids));
    for (const [id, entry] of this.entries) entry.hidden = this.ids.includes(id);
    this.tell();
  },

  /** Say how many are left out here, with a way to have them back. */
  tell() {
    const count = [...this.entries.values()].filter((entry) => entry.hidden).length;
    const line = one("[data-hidden]");
    line.hidden = !count;
    if (!count) return;
    const button = el("button", { type: "button", class: "quiet" }, "show them again");
    button.addEventListener("click", () => {
      this.keep(this.ids.filter((id) => !this.entries.has(id)));
      one("h2 a", [...this.entries.values()][0]).focus();
    });
    line.replaceChildren(`${count} hidden by you, `, button);
  },
};

// ---------------------------------------------------------------- messages, colours, state

const SHOWN = 8000; // ms; long enough to read and to undo

function toast(words, undo) {
  const box = one("[data-toast]");
  const button = one("[data-undo]", box);
  clearTimeout(toast.timer);
  box.hidden = false;
  one("[data-toast-text]", box).textContent = words;
  button.hidden = !undo;
  button.onclick = () => {
    box.hidden = true;
    undo();
  };
  const away = () => {
    if (box.contains(document.activeElement)) toast.timer = setTimeout(away, SHOWN);
    else box.hidden = true;
  };
  toast.timer = setTimeout(away, SHOWN);
}

function startThemes(choice) {
  choice.hidden = false;
  choice.addEventListener("change", (event) => {
    document.documentElement.dataset.theme = event.target.value;
    // A cookie, so that the next page comes in these colours and doesn't flash.
    document.cookie = `theme=${event.target.value}; path=/; max-age=31536000; samesite=lax`;
  });
}

/** Languages by their names instead of their tags. */
function nameLanguages() {
  const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "none" });
  for (const node of all("[data-language]")) {
    try {
      const name = names.of(node.dataset.language);
      if (name) node.textContent = node.textContent.replace(node.dataset.language, () => name);
    } catch {
      // a page may say anything; then it stands as it was said
    }
  }
}

async function tellHealth(health) {
  const text = one("[data-health-text]", health);
  try {
    const response = await fetch("/readyz", { cache: "no-store" });
    health.dataset.health = response.ok ? "ready" : "waiting";
    text.textContent = response.ok ? "All is well" : `The gateway is ${await response.text()}`;
  } catch {
    health.dataset.health = "waiting";
    text.textContent = "The gateway can’t be reached";
  }
}

nameLanguages();
startThemes(one("[data-theme-choice]"));
reporting.start();
for (const form of all("form[data-classify]")) new Classifier(form);
for (const button of all("[data-insight]")) new Insight(button);
for (const board of all("[data-board]")) hiding.start(board);
for (const health of all("[data-health]")) tellHealth(health);
