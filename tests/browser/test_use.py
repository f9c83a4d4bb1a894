"""What people do on the pages in a Chromium: with a mouse, with keys alone, without scripts."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from trending_shared.api_keys import ApiKey, Scope
from trending_shared.events import GenresCorrected, PredictionServed

pytestmark = pytest.mark.browser

STORY = "A detective plans one last heist."


def names(page: Page) -> list[str]:
    return page.locator("[data-board] h2:visible").all_inner_texts()


def focused(page: Page) -> str:
    """What has the focus, as its own words."""
    text: str = page.evaluate(
        "(document.activeElement.getAttribute('aria-label') || document.activeElement.innerText ||"
        " document.activeElement.name || '').trim()"
    )
    return " ".join(text.split())


def press_tab_until(page: Page, words: str) -> None:
    """Go on by Tab alone; whatever has the focus on the way must show it."""
    for _ in range(150):
        page.keyboard.press("Tab")
        shown = page.evaluate(
            """() => {
              const active = document.activeElement;
              const seen = active.type === 'radio' ? active.nextElementSibling : active;
              return active === document.body || getComputedStyle(seen).outlineStyle !== 'none';
            }"""
        )
        assert shown, f"{focused(page)} doesn't show that it has the focus"
        if words in focused(page):
            return
    raise AssertionError(f"Tab never came to {words}")


# ---------------------------------------------------------------- reading and filtering


def test_filters_narrow_the_board_and_are_taken_away_one_by_one(eyes: Any) -> None:
    page = eyes.open()
    page.get_by_role("radio", name="Shows").check()
    page.get_by_text("Day, country, language").click()
    country = page.get_by_role("combobox", name="Country")
    assert "Norway (2)" in country.inner_text()  # of films and shows, until it is asked again
    country.select_option("Norway")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("[data-board] h2")).to_have_text(["Midnight Ferry to Oslo"])
    page.get_by_role("link", name="Remove: from Norway").click()
    expect(page).to_have_url(re.compile(r"/\?kind=show$"))
    expect(page.locator("[data-board] h2")).to_have_count(5)
    expect(page.get_by_role("link", name="Remove: Shows")).to_be_visible()


def test_any_past_day_can_be_looked_at(eyes: Any) -> None:
    page = eyes.open()
    page.get_by_text("Day, country, language").click()
    page.get_by_label("Day", exact=True).fill("2026-11-12")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".age")).to_contain_text("12 November 2026 · a look back")
    page.get_by_role("link", name="The newest day").click()
    expect(page.locator(".age")).to_contain_text("26 November 2026 · data as of")
    page.goto("/?day=2026-11-20")
    page.get_by_role("link", name="12 November 2026").click()
    expect(page.locator("[data-board] h2")).not_to_have_count(0)


def test_all_of_it_can_be_read_and_filtered_without_scripts(eyes: Any) -> None:
    page = eyes.open(java_script_enabled=False)
    page.get_by_role("combobox", name="Genre").select_option("Documentary")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("[data-board] h2").last).to_have_text("The Archivist")
    page.get_by_role("link", name="Hide The Archivist").click()
    expect(page.locator("[data-board] h2")).to_have_count(1)
    page.get_by_role("link", name="Remove: without 1 hidden title").click()
    page.get_by_role("link", name="The Archivist", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The Archivist")
    assert page.get_by_role("button", name="Report").count() == 0
    assert page.get_by_role("button", name="Tell me").count() == 0
    page.get_by_role("link", name="Operate").click()
    expect(page.get_by_role("heading", name="Services and their lag")).to_be_visible()


def test_what_was_scraped_stays_text(eyes: Any) -> None:
    page = eyes.open("/titles/t_hostile")
    expect(page.get_by_role("heading", level=1)).to_contain_text("<script>alert('x')</script>")
    assert page.locator("h1 script, h1 img, .kicker b").count() == 0


# ---------------------------------------------------------------- classify


def test_the_model_answers_as_one_types(eyes: Any, house: Any) -> None:
    page = eyes.open()
    box = page.get_by_label("A plot, in a sentence or two")
    box.press_sequentially("A detective", delay=0)
    expect(page.locator("[data-verdict]")).to_have_text("A few words more…")
    before = page.locator("[data-bars]").bounding_box()
    box.press_sequentially(" plans one last heist.", delay=0)
    expect(page.locator("[data-verdict]")).to_have_text("Action & Adventure, Crime and 1 more")
    expect(page.locator("[data-genre=Crime]")).to_have_class("passed")
    expect(page.locator("[data-genre=Crime] [data-share]")).to_have_text("90 %")
    assert page.locator("[data-bars]").bounding_box() == before  # nothing has jumped
    trace = page.get_by_role("link", name="Where this answer comes from").get_attribute("href")
    assert trace
    asked = house.publisher.events(PredictionServed)[-1]
    assert trace == f"/v1/predictions/{asked.prediction_id}/lineage"
    assert asked.text == STORY.lower()
    box.fill("Nothing in particular happens here.")
    expect(page.locator("[data-verdict]")).to_have_text(
        re.compile("No genre is likely enough; .+ comes nearest, at 10.%")
    )


def test_the_last_question_counts(eyes: Any) -> None:
    page = eyes.open()
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "ghost" in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.route("**/v1/genres", hold)
    box = page.get_by_label("A plot, in a sentence or two")
    with page.expect_request("**/v1/genres"):
        box.fill("A ghost in a house.")
    with page.expect_event("requestfailed"):  # the browser gave the first one up
        box.fill(STORY)
    expect(page.locator("[data-verdict]")).to_contain_text("Crime")
    assert len(held) == 1


@pytest.mark.parametrize(
    ("status", "type", "words"),
    [
        (429, "rate-exceeded", "That was a lot in one minute. Try again in 7 s."),
        (503, "overloaded", "The gateway is busy right now. Try again in 7 s."),
        (503, "model-not-found", "No genre model is in service yet."),
    ],
)
def test_a_gateway_that_cant_answer_is_told_kindly(
    eyes: Any, status: int, type: str, words: str
) -> None:
    page = eyes.open()
    page.route(
        "**/v1/genres",
        lambda route: route.fulfill(
            status=status,
            headers={"Retry-After": "7", "Content-Type": "application/problem+json"},
            body=f'{{"type": "urn:trending:problem:{type}", "title": "x", "detail": "y"}}',
        ),
    )
    page.get_by_label("A plot, in a sentence or two").fill(STORY)
    expect(page.locator("[data-verdict]")).to_have_text(words)


def test_a_gateway_that_is_gone_is_told_too(eyes: Any) -> None:
    page = eyes.open()
    page.route("**/v1/genres", lambda route: route.abort())
    page.get_by_label("A plot, in a sentence or two").fill(STORY)
    expect(page.locator("[data-verdict]")).to_have_text("The gateway can’t be reached right now.")


def test_a_gateway_with_keys_asks_for_one_and_keeps_it_in_this_tab(eyes: Any, house: Any) -> None:
    key, kept = ApiKey.create("reader", [Scope.PREDICT])
    with house.gateway(api_keys=[kept], open_scopes=[Scope.READ]) as address:
        page = eyes.open(at=address)
        page.get_by_label("A plot, in a sentence or two").fill(STORY)
        expect(page.locator("[data-verdict]")).to_have_text("This needs a key.")
        expect(page.get_by_label("A plot, in a sentence or two")).to_be_focused()
        page.get_by_role("button", name="Enter a key").click()
        dialog = page.get_by_role("dialog", name="This gateway asks for a key")
        dialog.get_by_label("Key").fill("tn_wrong")
        dialog.get_by_role("button", name="Use this key").click()
        expect(dialog).to_contain_text("isn’t known here")
        dialog.get_by_label("Key").fill(key)
        dialog.get_by_label("Key").press("Enter")
        expect(page.locator("[data-verdict]")).to_contain_text("Crime")
        assert page.evaluate("localStorage.length") == 0
        assert key not in page.evaluate("document.cookie")
        assert page.evaluate("Object.values({...sessionStorage})") == [key]
        page.reload()
        page.get_by_label("A plot, in a sentence or two").fill("A ghost in a house.")
        expect(page.locator("[data-verdict]")).to_contain_text("Horror")


# ---------------------------------------------------------------- insight


def test_an_insight_shows_its_evidence_in_place(eyes: Any) -> None:
    page = eyes.open("/titles/t_salt")
    page.get_by_role("button", name="Tell me").click()
    stamp = page.locator("[data-stamp]")
    expect(stamp).to_contain_text("Written by a model")
    expect(stamp).to_contain_text(re.compile(r"gpt-4o-mini, prompt insights [0-9a-f]{16}"))
    plot = page.locator("[data-plot] mark")
    # What comes after a character beyond the sixteen bits is where the gateway said.
    expect(plot.first).to_contain_text(
        "A lighthouse keeper on the salt road finds a radio 📻 that only speaks at low tide."
    )
    expect(page.locator("[data-review='0'] mark")).to_have_count(2)
    expect(page.get_by_text("1 of the texts gave orders")).to_be_visible()

    claim = page.locator("#claim-a")
    claim.hover()
    expect(plot.first).to_have_class("lit")
    claim.get_by_role("link", name="Sentence 1").click()
    expect(plot.first).to_be_focused()
    expect(plot.first).to_be_in_viewport()
    plot.first.get_by_role("link", name="Back to statement a").click()
    expect(claim).to_be_focused()

    folded = page.locator("[data-review='5'] mark")
    expect(folded).to_be_hidden()
    page.locator("#claim-e").get_by_role("link").click()
    expect(folded).to_be_focused()
    assert page.locator("[data-plot]").inner_text().startswith("A lighthouse keeper")


def test_what_no_model_wrote_says_so(eyes: Any, house: Any) -> None:
    with house.gateway() as address:
        page = eyes.open("/titles/t_salt", at=address)
        page.get_by_role("button", name="Tell me").click()
        stamp = page.locator("[data-stamp=degraded]")
        expect(stamp).to_contain_text("Not written by a model")
        expect(stamp).to_contain_text("no language model is set up here")
        expect(page.locator("[data-plot] mark").first).to_be_visible()
        page.goto(f"{address}/titles/t_glass")
        page.get_by_role("button", name="Tell me").click()
        stamp = page.locator("[data-stamp=abstained]")
        expect(stamp).to_contain_text("there is too little to read")
        expect(page.locator("mark")).to_have_count(0)


# ---------------------------------------------------------------- report, hide, colours


def test_a_report_says_which_genres_fit(eyes: Any, house: Any) -> None:
    page = eyes.open()
    page.get_by_role("button", name="Report a problem with The Glass Orchard").click()
    dialog = page.get_by_role("dialog", name="Report a problem")
    expect(dialog).to_contain_text("Which genres fit The Glass Orchard?")
    expect(dialog.get_by_label("Drama")).to_be_checked()
    dialog.get_by_label("Drama").uncheck()
    dialog.get_by_label("Romance").check()
    dialog.get_by_role("button", name="Send the report").click()
    expect(page.locator("[data-toast]")).to_contain_text("The report is on record.")
    expect(dialog).to_be_hidden()
    said = house.publisher.events(GenresCorrected)[-1]
    assert (said.title_id, said.genres) == ("t_glass", ("Romance",))


def test_a_report_that_cant_be_sent_stays_open(eyes: Any) -> None:
    page = eyes.open("/titles/t_glass")
    page.route("**/v1/feedback", lambda route: route.abort())
    page.get_by_role("button", name="Report a problem with").click()
    dialog = page.get_by_role("dialog", name="Report a problem")
    dialog.get_by_role("button", name="Send the report").click()
    expect(dialog.get_by_role("status")).to_have_text("The gateway can’t be reached right now.")
    page.unroute("**/v1/feedback")
    dialog.get_by_role("button", name="Send the report").click()
    expect(dialog).to_be_hidden()


# ---------------------------------------------------------------- hide, colours


def test_a_hidden_title_stays_away_until_it_is_wanted_again(eyes: Any) -> None:
    page = eyes.open()
    first, second = names(page)[:2]
    page.get_by_role("link", name=f"Hide {first}").click()
    expect(page.locator("[data-toast]")).to_contain_text(f"{first} is hidden.")
    expect(page.get_by_role("link", name=second, exact=True)).to_be_focused()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("link", name=first, exact=True)).to_be_visible()
    page.get_by_role("link", name=f"Hide {first}").click()
    page.reload()
    assert names(page)[0] == second
    expect(page.locator("[data-hidden]")).to_contain_text("1 hidden by you")
    page.get_by_role("button", name="show them again").click()
    assert names(page)[0] == first


def test_colours_are_chosen_and_remembered(eyes: Any) -> None:
    page = eyes.open(theme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("radio", name="Dark").check()
    dark = page.evaluate(ground)
    assert dark != light
    page.goto("/titles/t_salt")
    assert page.evaluate(ground) == dark
    expect(page.get_by_role("radio", name="Dark")).to_be_checked()
    page.get_by_role("radio", name="Auto").check()
    assert page.evaluate(ground) == light


# ---------------------------------------------------------------- keys alone


def test_all_of_it_goes_by_keys_alone(eyes: Any) -> None:
    page = eyes.open()
    keys = page.keyboard
    keys.press("Tab")
    assert focused(page) == "Skip to the content"
    press_tab_until(page, "kind")
    keys.press("ArrowRight")
    press_tab_until(page, "genre")
    keys.type("Hor")
    press_tab_until(page, "Apply")
    keys.press("Enter")
    expect(page).to_have_url(re.compile("kind=film&genre=Horror"))

    press_tab_until(page, "Hide The Salt Road")
    keys.press("Enter")
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    keys.press("Enter")
    expect(page.get_by_role("link", name="Hide The Salt Road")).to_be_focused()

    press_tab_until(page, "text")
    keys.type(STORY)
    expect(page.locator("[data-verdict]")).to_contain_text("Crime")

    page.goto("/titles/t_salt")
    press_tab_until(page, "Tell me")
    keys.press("Enter")
    expect(page.locator("[data-stamp]")).to_be_visible()
    press_tab_until(page, "Sentence 1")
    keys.press("Enter")
    expect(page.locator("#sentence-s1")).to_be_focused()
    press_tab_until(page, "Back to statement a")
    keys.press("Enter")
    expect(page.locator("#claim-a")).to_be_focused()

    press_tab_until(page, "Report a problem with The Salt Road")
    keys.press("Enter")
    dialog = page.get_by_role("dialog", name="Report a problem")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("Horror")).to_be_checked()
    for _ in range(25):  # the focus stays inside
        keys.press("Tab")
        assert page.evaluate(
            "!document.hasFocus() || document.activeElement === document.body"
            " || document.activeElement.closest('dialog') !== null"
        )
    keys.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Report a problem with The Salt Road")).to_be_focused()
