# SPDX-License-Identifier: Apache-2.0
"""The console as people see it: a real Chromium looks at every page while data come."""
import json
import os
import sys
import urllib.parse

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from browser import CHROMIUM, Browser  # noqa: E402

EVIL = "<script>window.evil=1</script><img src=x onerror=window.evil=1>\"';--"
SETUP = """
CREATE TOPIC scans (package_id TEXT, site TEXT, station TEXT, weight_g DOUBLE, event_time TIMESTAMPTZ NOT NULL,
  WATERMARK FOR event_time AS event_time - INTERVAL '5 seconds');
CREATE VIEW heavy AS SELECT site, station, weight_g FROM scans WHERE weight_g > 100;
CREATE MATERIALIZED VIEW per_site AS SELECT site, count(*) AS scans FROM scans GROUP BY site;
CREATE MATERIALIZED VIEW heavy_stations AS SELECT station, count(*) AS scans FROM heavy GROUP BY station;
CREATE MATERIALIZED VIEW per_minute AS SELECT site, station, window_start, count(*) AS scans
  FROM tumble(scans, event_time, INTERVAL '1 minute') GROUP BY site, station, window_start;
CREATE DASHBOARD wall TITLE 'The wall'
  VARIABLE site AS (SELECT site FROM per_site ORDER BY site) DEFAULT 'HAM2' VARIABLE least DEFAULT '0' REFRESH INTERVAL '200 milliseconds'
  PANEL total TITLE 'All scans' NUMBER UNIT 'scans' AT (0, 0, 4, 2) AS (SELECT sum(scans) AS scans FROM per_site)
  PANEL here TITLE 'Scans here' NUMBER WARN 2 ALARM 1000 AT (4, 0, 4, 2) AS (SELECT scans FROM per_site WHERE site = $site)
  PANEL minutes TITLE 'Change' NUMBER X window_start Y scans AT (8, 0, 4, 2) AS (
    SELECT window_start, sum(scans) AS scans FROM per_minute GROUP BY window_start)
  PANEL line TITLE 'Minutes' LINE X window_start Y scans SERIES station AT (0, 2, 6, 4) AS (
    SELECT window_start, station, scans FROM per_minute WHERE site = $site)
  PANEL bars TITLE 'Stations' BAR X station Y scans WARN 3 ALARM 2 AT (6, 2, 6, 4) AS (
    SELECT station, sum(scans) AS scans FROM per_minute WHERE scans >= CAST($least AS INTEGER) GROUP BY station ORDER BY station)
  PANEL heat TITLE 'Heat' HEATMAP X window_start Y station SERIES scans AT (0, 6, 6, 4) AS (
    SELECT window_start, station, scans FROM per_minute)
  PANEL rows TITLE 'Rows' TABLE AT (6, 6, 6, 4) AS (SELECT site, station, scans FROM per_minute ORDER BY scans DESC, site, station, window_start);
"""
LIVE = "document.querySelector('.chip')?.textContent === 'live'"
# All panels have been drawn: no skeleton is left and none waits for its first answer.
DRAWN = "document.querySelectorAll('.panel').length > 0 && !document.querySelector('.skeleton, .panel.stale')"
FLOW = "document.querySelectorAll('.node').length > 0"


def scans(count, site="HAM2", station="ST-1", minute=0):
    return [json.dumps({"package_id": f"{site}-{i}", "site": site, "station": station, "weight_g": 50 + i * 30,
                        "event_time": f"2026-11-24T12:{minute:02}:{i % 60:02}Z"}) for i in range(count)]


def address(leat, path, sql=None):
    return f"http://{leat.http}{path}" + (f"#{urllib.parse.quote(sql)}" if sql else "")


@pytest.fixture(scope="module")
def browser():
    assert os.path.exists(CHROMIUM), f"{CHROMIUM} is not installed: tools/setup test"
    with Browser() as one:
        yield one


@pytest.fixture
def page(browser):
    one = browser.page()
    yield one
    one.close()


@pytest.fixture(scope="module")
def filled(shared_leat):
    """A server with events of two sites, and things whose names are not nice."""
    shared_leat.sql(SETUP)
    for minute, station, count in ((0, "ST-1", 4), (1, "ST-1", 6), (1, "ST-2", 3), (2, "ST-2", 1), (3, EVIL, 2)):
        shared_leat.produce("scans", scans(count, "HAM2", station, minute))
    shared_leat.produce("scans", scans(5, "LEJ1", "ST-9", 2))
    shared_leat.produce("scans", ["{broken", '{"package_id": "x"}'])
    shared_leat.sql("SET leat.freshness = 'now'; SELECT count(*) FROM per_minute; SELECT count(*) FROM per_site")
    return shared_leat


# ---- home ------------------------------------------------------------------------------------------------------


def test_the_first_event(leat, page):
    page.open(address(leat, "/"))
    page.wait("document.querySelector('#start .waiting')")
    lines = page.text("#start")
    assert f"kcat -P -b {leat.kafka} -t scans" in lines
    assert f"-p {leat.pg.rsplit(':', 1)[1]} " in lines and f"http://{leat.http}/api/sql" in lines
    leat.produce("scans", ['{"site": "SEA1"}'])
    page.wait("document.querySelector('.node .name')?.textContent === 'scans' && !document.querySelector('#start')")
    assert page.troubles() == []


def test_the_flow(filled, page):
    page.open(address(filled, "/"))
    page.wait(FLOW)
    nodes = page.run("Object.fromEntries([...document.querySelectorAll('.node')].map((n) => "
                     "[n.querySelector('.name').textContent, n.querySelector('.kind').textContent]))")
    assert nodes == {"scans": "topic", "scans.quarantine": "refused records", "heavy": "plain view", "wall": "dashboard",
                     "per_site": "materialized view", "heavy_stations": "materialized view", "per_minute": "materialized view"}
    # No card covers another one, and no line runs behind a card (but for the two that it joins).
    assert page.run("""(() => {
      const boxes = [...document.querySelectorAll('.node')].map((n) => n.getBoundingClientRect());
      const hit = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
      let bad = boxes.filter((a, i) => boxes.some((b, k) => k < i && hit(a, b))).length;
      const origin = document.querySelector('.flow svg').getBoundingClientRect();
      for (const path of document.querySelectorAll('.edge')) {
        for (let at = 0, end = path.getTotalLength(); at <= end; at += 4) {
          const p = path.getPointAtLength(at), x = p.x + origin.left, y = p.y + origin.top;
          if (boxes.some((b) => x > b.left + 3 && x < b.right - 3 && y > b.top + 3 && y < b.bottom - 3)) bad++;
        }
      }
      return bad;
    })()""") == 0
    labels = page.run("[...document.querySelectorAll('.edge-label')].map((t) => t.textContent)")
    assert any("lag 0" in label and "age" in label for label in labels), labels
    # A click leads to the thing: the refused records, as rows of SQL.
    page.run("[...document.querySelectorAll('.node')].find((n) => n.textContent.includes('scans.quarantine')).click()")
    page.wait("location.pathname === '/sql.html' && document.querySelectorAll('.grid tbody tr').length === 2")
    assert page.troubles() == []


# ---- all pages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme, width, height", [("light", 390, 844), ("dark", 768, 1024), ("light", 1280, 800), ("dark", 1920, 1080)])
def test_every_page_is_quiet(filled, browser, scheme, width, height):
    page = browser.page(width, height, scheme)
    for path, sql, ready in (("/", None, FLOW), ("/dashboards.html", None, "document.querySelector('.board-card')"),
                             ("/d/wall", None, DRAWN), ("/d/wall?kiosk", None, DRAWN),
                             ("/sql.html", "SELECT * FROM scans", "document.querySelector('.grid tbody tr')")):
        page.open(address(filled, path, sql))
        page.wait(f"{LIVE} && {ready}")
        assert page.troubles() == [], path
        assert page.shifts() < 0.02, f"{path} moves at {width} px"
        assert page.run("document.documentElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways at {width} px"
        light = page.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0] > 128")
        assert light == (scheme == "light"), path
        # Text stands out from what is behind it: 4.5 to 1 (WCAG AA).
        assert page.run("""(() => {
          const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
          const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] !== 0) return c; } return [255, 255, 255]; };
          return [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
            .map((e) => [light(rgb(getComputedStyle(e).color)), light(behind(e)), e.className, e.textContent.slice(0, 30)])
            .map(([a, b, ...rest]) => [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), ...rest]).filter(([ratio]) => ratio < 4.5);
        })()""") == [], path
    page.close()


def test_addresses_as_people_type_them(filled, page):
    for path, ready in (("/sql", "document.querySelector('.editor textarea')"), ("/dashboards", "document.querySelector('.board-card')")):
        page.open(address(filled, path))
        page.wait(f"{LIVE} && {ready}")
        assert page.troubles() == [], path


def test_refused_records_lead_to_the_quarantine(filled, page):
    filled.sql('CREATE DASHBOARD bad PANEL refused TABLE AS (SELECT reason FROM "scans$quarantine")')
    page.open(address(filled, "/d/bad"))
    page.wait("document.querySelectorAll('.table-panel tbody tr').length === 2")
    page.run("document.querySelector('.panel .change a').click()")
    page.wait("location.pathname === '/sql.html' && document.querySelectorAll('.grid tbody tr').length === 2")
    filled.sql("DROP DASHBOARD bad")
    assert page.troubles() == []


def test_numbers_in_a_row_have_one_size(filled, page):
    filled.sql("CREATE DASHBOARD sizes PANEL a NUMBER AT (0, 0, 3, 3) AS (SELECT 7 AS n) "
               "PANEL b NUMBER UNIT 'kg/min' AT (3, 0, 3, 3) AS (SELECT 123456 AS n)")
    page.open(address(filled, "/d/sizes"))
    page.wait("document.querySelectorAll('.number b').length === 2")
    sizes = page.run("[...document.querySelectorAll('.number b')].map((n) => getComputedStyle(n).fontSize)")
    filled.sql("DROP DASHBOARD sizes")
    assert sizes[0] == sizes[1], sizes


def test_light_and_dark_by_hand(filled, page):
    page.open(address(filled, "/dashboards.html"))
    page.wait("document.querySelector('.board-card')")
    before = page.run("getComputedStyle(document.body).backgroundColor")
    page.key("t")
    page.wait(f"getComputedStyle(document.body).backgroundColor !== '{before}'")
    page.open(address(filled, "/sql.html"))
    assert page.run("document.documentElement.dataset.theme") == "dark"
    page.run("localStorage.clear()")


def test_less_motion(filled, browser):
    page = browser.page(reduced=True)
    page.open(address(filled, "/"))
    page.wait(FLOW)
    assert page.run("document.getAnimations().filter((a) => a.playState === 'running').length") == 0
    page.close()


def test_text_stays_text(filled, browser):
    page = browser.page()
    page.open(address(filled, "/d/wall"))
    page.wait(DRAWN)
    assert EVIL in page.text(".table-panel table") and EVIL in page.text(".bars") and EVIL in page.text(".names")
    filled.sql("CREATE DASHBOARD odd TITLE '<script>window.evil=1</script>' PANEL one TITLE '<i>one</i>' NUMBER UNIT '<b>' AS (SELECT 1 AS n)")
    filled.sql("CREATE VIEW \"<b>x</b>\" AS SELECT site AS \"<img src=x onerror=window.evil=1>\" FROM scans")
    for path, sql, shows in (("/dashboards.html", None, "<script>window.evil=1</script>"), ("/", None, "<b>x</b>"),
                             (f"/d/odd?site={urllib.parse.quote(EVIL)}", None, "<i>one</i>"),
                             ("/sql.html", f"SELECT '{EVIL.replace(chr(39), chr(39) * 2)}' AS \"<b>\"", "<b>x</b>"),
                             ("/sql.html", f"SELECT {EVIL}", "ERROR")):
        page.open(address(filled, path, sql))
        if sql:
            page.wait("document.querySelector('button.primary')")
            page.run("document.querySelector('button.primary').click()")
        page.wait(f"document.body.textContent.includes({json.dumps(shows)})")
        assert page.run("window.evil") is None and page.run("document.querySelector('main b b, main img, main script')") is None, path
    filled.sql('DROP DASHBOARD odd; DROP VIEW "<b>x</b>"')
    page.close()


# ---- dashboards --------------------------------------------------------------------------------------------------


def test_numbers_are_those_of_sql(filled, page):
    page.open(address(filled, "/d/wall"))
    page.wait(DRAWN)
    total = filled.sql("SET leat.freshness = 'now'; SELECT sum(scans) FROM per_site")[0][0]
    page.wait(f"document.querySelector('[aria-label=\"All scans\"] b').textContent === '{total}'")
    rows = filled.sql("SELECT site, station, scans FROM per_minute ORDER BY scans DESC, site, station, window_start")
    shown = page.run("[...document.querySelectorAll('.table-panel tbody tr')].map((tr) => [...tr.cells].map((td) => td.textContent))")
    assert shown == [[str(value) for value in row] for row in rows]
    filled.produce("scans", scans(3, "LEJ1", "ST-9", 3))
    page.wait(f"document.querySelector('[aria-label=\"All scans\"] b').textContent === '{total + 3}'")
    page.wait("[...document.querySelectorAll('.table-panel tbody tr')].some((tr) => tr.textContent === 'LEJ1ST-93')")
    foot = page.text("[aria-label='All scans'] .foot")
    assert "data age 0." in foot and "newest event at 12:03:" in foot
    assert page.text("[aria-label='Scans here'] .change").startswith("WARNING")
    assert page.text("[aria-label='Change'] .change").startswith("▼") or page.text("[aria-label='Change'] .change").startswith("▲")
    assert len(page.streams) == 1, "one stream for all panels"
    assert page.troubles() == []


def test_variables(filled, page):
    page.open(address(filled, "/d/wall?kiosk&least=0&other=1"))
    page.wait(f"{DRAWN} && document.querySelector('[aria-label=\"Scans here\"] b').textContent === '16'")
    page.run("(() => { const s = document.querySelector('select'); s.value = 'LEJ1'; s.dispatchEvent(new Event('change')); })()")
    page.wait(f"{DRAWN} && document.querySelector('[aria-label=\"Scans here\"] b').textContent !== '16'")
    query = urllib.parse.parse_qs(page.run("location.search.slice(1)"), keep_blank_values=True)
    assert query == {"kiosk": [""], "least": ["0"], "other": ["1"], "site": ["LEJ1"]}
    # A free text; what cannot be run says so in its panel, the others go on.
    page.run("(() => { const i = document.querySelector('header input'); i.value = 'many'; i.dispatchEvent(new Event('change')); })()")
    page.wait("document.querySelector('[aria-label=\"Stations\"] .failure')?.textContent.includes('many')")
    page.wait("document.querySelector('[aria-label=\"All scans\"] b')")
    page.run("history.back()")
    page.wait(f"{DRAWN} && document.querySelector('.bars') && document.querySelector('header input').value === '0'")
    assert page.shifts() < 0.02
    assert page.troubles() == []


@pytest.mark.parametrize("width, height", [(1280, 720), (1920, 1080)])
def test_a_wall_fills_the_screen(filled, browser, width, height):
    page = browser.page(width, height, "dark")
    page.open(address(filled, "/d/wall?kiosk"))
    page.wait(DRAWN)
    assert page.run("[document.documentElement.scrollHeight, document.documentElement.scrollWidth]") == [height, width]
    boxes = page.run("[...document.querySelectorAll('.panel')].map((p) => p.getBoundingClientRect()).map((r) => [r.left, r.top, r.right, r.bottom])")
    assert all(0 <= a and 0 <= b and c <= width and d <= height for a, b, c, d in boxes)
    assert max(box[3] for box in boxes) > height * 0.96, "the screen's end is empty"
    assert not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for i, a in enumerate(boxes) for b in boxes[:i])
    assert page.run("parseFloat(getComputedStyle(document.querySelector('.number b')).fontSize)") > height / 16
    assert page.run("[...document.querySelectorAll('.number')].every((n) => n.scrollWidth <= n.parentElement.clientWidth)"), "cut"
    page.key("Escape")
    page.wait("!document.body.classList.contains('kiosk') && !location.search.includes('kiosk')")
    page.key("k")
    page.wait("document.body.classList.contains('kiosk') && location.search.includes('kiosk')")
    page.close()


def test_what_is_not_there(filled, browser):
    page = browser.page()
    page.open(address(filled, "/d/none"))
    page.wait("document.querySelector('[role=alert]')?.textContent.includes('none')")
    page.open(address(filled, "/dashboards.html"))
    page.wait("document.querySelectorAll('.board-card').length === 1")
    filled.sql("CREATE DASHBOARD later TITLE 'Later' PANEL nothing TITLE 'Nothing' TABLE AS (SELECT * FROM per_site WHERE site = 'none')")
    page.wait("[...document.querySelectorAll('.board-card a')].some((a) => a.textContent === 'Later')")
    page.open(address(filled, "/d/later"))
    page.wait("document.querySelector('.panel .empty')?.textContent === 'nothing to show'")
    # Changed and dropped while somebody looks.
    filled.sql("CREATE OR REPLACE DASHBOARD later TITLE 'Later' PANEL one TITLE 'One' NUMBER AS (SELECT 41 AS n)")
    page.wait("document.querySelector('[aria-label=One] b')?.textContent === '41'")
    filled.sql("DROP DASHBOARD later")
    page.wait("document.querySelector('[role=alert]')?.textContent.includes('later')")
    page.close()


def test_a_patch_that_does_not_fit(filled, browser):
    """Rows are patched by place; one that would leave a hole makes the page begin anew."""
    page = browser.page(script="""
      window.made = [];
      window.EventSource = class { constructor(url) { this.url = url; this.on = {}; made.push(this); }
        addEventListener(name, handle) { this.on[name] = handle; }
        close() {} };
      window.EventSource.CLOSED = 2;
      window.send = (name, data) => made.at(-1).on[name]({ data: JSON.stringify({ panel: 6, data_age_ms: 0, newest_event_time: null, data }) });""")
    page.open(address(filled, "/d/wall"))
    page.wait("window.made.length === 1")
    cells = "[...document.querySelectorAll('.table-panel tbody tr')].map((tr) => tr.cells[0].textContent).join()"
    page.run("send('snapshot', { columns: [{ name: 'a', type: 'INTEGER' }], rows: [[1], [2], [3]] })")
    assert page.run(cells) == "1,2,3"
    page.run("send('patch', { count: 4, set: [[1, [20]], [3, [4]]] })")
    assert page.run(cells) == "1,20,3,4"
    page.run("send('patch', { count: 2, set: [] })")
    assert page.run(cells) == "1,20"
    page.run("send('patch', { count: 5, set: [[4, [5]]] })")
    assert page.run(cells) == "1,20" and page.run("made.length") == 2
    assert page.troubles() == []
    page.close()


# ---- SQL -----------------------------------------------------------------------------------------------------------


def test_sql_by_keyboard(filled, page):
    page.open(address(filled, "/sql.html"))
    page.wait(f"{LIVE} && document.querySelectorAll('aside button').length > 3")
    page.run("(() => { const t = document.querySelector('textarea'); t.value = ''; t.focus(); })()")
    page.type("SELECT site FROM per_s")
    page.wait("!document.querySelector('.complete').hidden")
    assert page.run("document.querySelector('.complete [aria-selected=true]').firstChild.textContent") == "per_site"
    caret = page.run("""(() => { const m = document.querySelector('.complete').getBoundingClientRect(), t = document.querySelector('textarea').getBoundingClientRect();
      return [m.left - t.left, m.top - t.top]; })()""")
    assert 100 < caret[0] < 220 and 20 < caret[1] < 50, "the list is not at the word"
    page.key("Escape")
    assert page.run("document.querySelector('.complete').hidden && document.activeElement.tagName === 'TEXTAREA'")
    page.type("i")
    page.key("Enter")
    page.type(" ORDER BY site")
    page.key("Escape")
    page.key("Enter", ctrl=True)
    page.wait("[...document.querySelectorAll('.grid tbody td')].map((td) => td.textContent).join() === 'HAM2,LEJ1'")
    # From the top of a page the tab key goes through everything in order, and shows where it is.
    page.open(address(filled, "/dashboards.html"))
    page.wait("document.querySelector('.board-card')")
    seen = []
    for _ in range(8):
        page.key("Tab")
        seen.append(page.run("(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent).trim()"))
        assert page.run("getComputedStyle(document.activeElement).outlineStyle !== 'none'"), f"{seen[-1]} does not show the focus"
    assert seen == ["to the content", "Leat", "Flow", "SQL", "Dashboards", "light or dark", "The wall", "The wall for a wall"], seen
    assert page.troubles() == []


def test_sql_error_shows_its_place(filled, page):
    page.open(address(filled, "/sql.html", "SELECT site,\n  nothing FROM per_site"))
    page.wait("document.querySelector('.error pre')")
    assert page.text(".error pre") == "  nothing FROM per_site\n  ^"
    assert page.run("(() => { const t = document.querySelector('textarea'); return t.value.slice(t.selectionStart, t.selectionEnd); })()") == "n"
    assert "42703" in page.text(".error")


def test_sql_of_an_address_only_reads(filled, page):
    page.open(address(filled, "/sql.html", "CREATE TOPIC stolen (a INT)"))
    page.wait(f"{LIVE} && document.querySelectorAll('aside button').length > 3")
    assert page.run("document.querySelector('textarea').value") == "CREATE TOPIC stolen (a INT)"
    assert ("stolen",) not in [row[:1] for row in filled.sql("SHOW TOPICS")]


def test_many_rows_stay_fluid(filled, page):
    page.open(address(filled, "/sql.html", "SELECT i AS n, 'a \"b\", ' || i AS text FROM range(5000) AS r(i)"))
    page.wait("document.querySelector('.grid tbody tr')")
    assert page.run("document.querySelectorAll('.grid tr').length") < 200
    page.run("document.querySelector('.grid').scrollTop = 1e9")
    page.wait("[...document.querySelectorAll('.grid tbody td')].some((td) => td.textContent === '4,999')")
    page.run("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); };"
             "[...document.querySelectorAll('button')].find((b) => b.textContent === 'Copy as CSV').click()")
    page.wait("window.copied")
    lines = page.run("window.copied").split("\r\n")
    assert lines[:2] == ["n,text", '0,"a ""b"", 0"'] and len(lines) == 5002


def test_explain_is_a_graph(filled, page):
    for sql, words in (("EXPLAIN CREATE MATERIALIZED VIEW v AS SELECT station, count(*) AS n FROM heavy GROUP BY station", "append-only"),
                       ("EXPLAIN SELECT a.site, count(*) FROM per_site a JOIN per_minute b ON a.site = b.site GROUP BY a.site", "rows")):
        page.open(address(filled, "/sql.html", sql))
        page.wait("document.querySelectorAll('.plan .op').length >= 3")
        ops, edges = page.run("[document.querySelectorAll('.plan .op').length, document.querySelectorAll('.plan svg path').length]")
        assert edges == ops - 1, "each operator but the last has a line"
        assert words in page.run("[...document.querySelectorAll('.plan svg text')].map((t) => t.textContent).join(' ')")
    assert page.troubles() == []


# ---- when the server goes away: last, as these end roles -----------------------------------------------------------------


def test_comes_back_by_itself(leat, browser):
    leat.sql(SETUP)
    leat.produce("scans", scans(2))
    board, home = browser.page(), browser.page()
    board.open(address(leat, "/d/wall"))
    home.open(address(leat, "/"))
    board.wait(f"{LIVE} && {DRAWN}")
    home.wait(f"{LIVE} && {FLOW}")
    seen = "window.lost = false; new MutationObserver(() => { if (document.querySelector('.chip').textContent === 'disconnected') window.lost = true; })" \
           ".observe(document.querySelector('.chip'), { childList: true, characterData: true, subtree: true }); true"
    for end in ("query", "all"):
        for page in (board, home):
            page.run(seen)
        leat.close()  # the connection of the test itself
        if end == "query":
            leat.kill_role("query")
        else:
            leat.kill()
            board.wait("window.lost")
            home.wait("window.lost")
            leat.start()
        board.wait("window.lost")
        board.wait(LIVE)
        home.wait(LIVE)
        leat.produce("scans", scans(2))
        total = leat.sql("SET leat.freshness = 'now'; SELECT sum(scans) FROM per_site")[0][0]
        board.wait(f"document.querySelector('[aria-label=\"All scans\"] b').textContent === '{total}'")
    assert len({stream.split("?")[0] for stream in board.streams}) == 1
    board.close()
    home.close()
