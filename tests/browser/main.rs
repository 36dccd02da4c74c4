//! Tests the page in a real browser: reading, sorting, searching and hovering, in both colour schemes.

mod chromium;
#[allow(dead_code)]
#[path = "../cli/folder.rs"]
mod folder;

use std::fmt::Write as _;

use chromium::Browser;
use folder::{Folder, fixture};

/// Rows of three columns around their classes' positions, and their labels, as CSV.
fn table(labels: &[&str], rows: usize) -> String {
    let mut text = "x,y,z,label,text\n".to_owned();
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24) - 0.5
    };
    for row in 0..rows {
        let class = row % labels.len();
        let angle = class as f64 * 2.399;
        let (x, y, z) =
            (angle.cos() + noise(), angle.sin() + noise(), 0.3 * class as f64 / labels.len() as f64 + noise());
        let label = labels[class].replace('"', "\"\"");
        let _ = writeln!(text, "{x},{y},{z},\"{label}\",\"row {row} of <b>{label}</b>\"");
    }
    text
}

/// Writes the page of a table.
fn report(folder: &Folder, csv: &str) {
    folder.write("set.csv", csv);
    let run = folder.embq(["report", "set.csv", "-l", "label", "--text", "text", "-o", "page.html"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{}", run.stderr);
}

fn digits(folder: &Folder) {
    let [embeddings, labels] = ["digits/embeddings.npy", "digits/labels.npy"].map(fixture);
    folder.embq(["report", &embeddings, "-l", &labels, "-o", "page.html"]).success();
}

const FIRST_CLASS: &str = "document.querySelector('#classes tbody th').textContent";

#[test]
fn the_page_is_sorted_searched_and_pointed_at() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = Folder::new();
    digits(&folder);
    browser.open(&folder.path("page.html"));

    assert_eq!(browser.text("document.querySelector('h1').textContent"), "embeddings.npy");
    assert_eq!(browser.text(FIRST_CLASS), "1", "worst first");
    browser.click("#classes thead th:nth-child(1) button");
    assert_eq!(browser.text(FIRST_CLASS), "0");
    browser.click("#classes thead th:nth-child(1) button");
    assert_eq!(browser.text(FIRST_CLASS), "9");
    // By keyboard, too.
    browser.value("document.querySelector('#classes thead th:nth-child(3) button').focus()");
    browser.press("Enter");
    assert_eq!(browser.text(FIRST_CLASS), "1");
    let sorted = "document.querySelector('#classes thead th:nth-child(3)').getAttribute('aria-sort')";
    assert_eq!(browser.text(sorted), "ascending");

    browser.click("#classes .filter");
    browser.write("7");
    let shown = "Array.from(document.querySelectorAll('#classes tbody tr')).filter((row) => !row.hidden).length";
    assert_eq!(browser.value(shown), 1);
    assert_eq!(browser.text("document.querySelector('#classes .found').textContent"), "1 found");

    browser.hover("#silhouettes .band");
    let hint = "document.getElementById('hint').hidden ? '' : document.getElementById('hint').textContent";
    let told = browser.text(hint);
    assert!(told.starts_with("1: 182 rows, mean 0.0682"), "{told}");
    browser.hover("#neighbours .heat rect");
    assert!(browser.text(hint).starts_with("within "));
    browser.hover("h2");
    assert_eq!(browser.text(hint), "");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn both_colour_schemes_have_contrast() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = Folder::new();
    digits(&folder);
    // The WCAG 2 contrast between the text of elements and their background.
    let contrast = "(() => {
        const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
        const numbers = (colour) => {
            canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
            return Array.from(canvas.getImageData(0, 0, 1, 1).data);
        };
        const light = (colour) => numbers(colour).slice(0, 3).map((n) => n / 255)
            .map((n) => (n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4))
            .reduce((sum, n, place) => sum + n * [0.2126, 0.7152, 0.0722][place], 0);
        const behind = (element) => {
            for (let one = element; one; one = one.parentElement) {
                const colour = getComputedStyle(one).backgroundColor;
                if (numbers(colour)[3] > 0) return colour;
            }
            return 'white';
        };
        let least = 21;
        for (const element of document.querySelectorAll('p, h1, h2, h3, a, li, th, td, dt, dd, figcaption, label, button, svg text:not(.cell)')) {
            if (!element.textContent.trim()) continue;
            const style = getComputedStyle(element);
            const ink = element instanceof SVGElement ? style.fill : style.color;
            const [one, other] = [light(ink), light(behind(element))];
            least = Math.min(least, (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05));
        }
        return least;
    })()";
    let page = "getComputedStyle(document.body).backgroundColor";
    let mut colours = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        browser.open(&folder.path("page.html"));
        colours.push(browser.text(page));
        let least = browser.value(contrast).as_f64().unwrap();
        assert!(least >= 4.5, "{scheme}: {least}");
        // The button toggles the scheme, whatever the system prefers.
        browser.click("#scheme");
        let turned = browser.text(page);
        assert_ne!(turned, colours[colours.len() - 1]);
        assert_eq!(browser.complaints(), [""; 0]);
    }
    assert_ne!(colours[0], colours[1]);
}

#[test]
fn labels_and_texts_are_shown_as_they_are() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = Folder::new();
    let long = "a very long label ".repeat(30);
    let labels =
        ["<script>alert(1)</script>", "שלום עולם", "\"><img src=x onerror=alert(2)>", long.trim(), "</title>&amp;"];
    report(&folder, &table(&labels, 200));
    for width in [1280, 390] {
        browser.size(width, 844);
        browser.open(&folder.path("page.html"));
        let names =
            browser.value("Array.from(document.querySelectorAll('#classes tbody th'), (cell) => cell.textContent)");
        let names: Vec<&str> = names.as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
        for label in labels {
            assert!(names.contains(&label), "{label} in {names:?}");
        }
        assert_eq!(browser.value("document.querySelectorAll('img, body script').length"), 1, "only that of the page");
        assert_eq!(browser.value("document.querySelectorAll('b b, td.text b').length"), 0);
        assert!(!browser.overflows(), "{width}");
        assert_eq!(browser.complaints(), [""; 0]);
    }
}

#[test]
fn two_classes_and_a_class_of_one_row_have_a_page() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = Folder::new();
    for csv in [
        "x,y,label,text\n1.0,0.0,a,one\n1.0,0.1,a,two\n0.0,1.0,b,three\n",
        "x,y,label,text\n1.0,0.0,a,\n1.0,0.0,a,\n1.0,0.0,b,\n1.0,0.0,b,\n",
    ] {
        report(&folder, csv);
        browser.open(&folder.path("page.html"));
        assert_eq!(browser.value("document.querySelectorAll('#classes tbody tr').length"), 2);
        let wrong = browser.value("document.querySelector('main').outerHTML.match(/NaN|Infinity/g)");
        assert!(wrong.is_null(), "{wrong}");
        assert_eq!(browser.complaints(), [""; 0]);
    }
}

#[test]
fn a_thousand_classes_have_a_page() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = Folder::new();
    let names: Vec<String> = (0..1_000).map(|class| format!("class {class}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    report(&folder, &table(&names, 4_000));
    let page = folder.read("page.html");
    assert!(page.len() < 2_000_000, "{}", page.len());
    browser.open(&folder.path("page.html"));
    assert_eq!(browser.value("document.querySelectorAll('#classes tbody tr').length"), 1_000);
    assert_eq!(browser.value("document.querySelectorAll('#silhouettes figure:first-child .band').length"), 48);
    browser.click("#classes thead th:nth-child(1) button");
    assert_eq!(browser.text(FIRST_CLASS), "class 0");
    assert!(!browser.overflows());
    browser.size(390, 844);
    browser.open(&folder.path("page.html"));
    assert!(!browser.overflows());
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn the_page_reads_without_scripts() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = Folder::new();
    digits(&folder);
    browser.call("Emulation.setScriptExecutionDisabled", serde_json::json!({"value": true}));
    browser.open(&folder.path("page.html"));
    // Controls that would do nothing are hidden, and hints are those of the browser.
    assert_eq!(browser.value("document.querySelectorAll('#scheme[hidden], .tools[hidden]').length"), 2);
    assert_eq!(browser.value("document.querySelectorAll('thead button').length"), 0);
    assert!(browser.value("document.querySelectorAll('svg title').length").as_u64().unwrap() > 100);
}

#[test]
fn several_checkpoints_have_a_page_of_their_own() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = Folder::new();
    let files = ["epoch00.npy", "epoch01.npy", "epoch10.npy"].map(|name| fixture(&format!("fashion_ckpt_2k/{name}")));
    let labels = fixture("fashion_ckpt_2k/labels.npy");
    let options = ["-l", &labels, "-o", "page.html"].map(str::to_owned);
    folder.embq(std::iter::once("report".to_owned()).chain(files).chain(options)).success();
    for width in [1280, 390] {
        browser.size(width, 844);
        browser.open(&folder.path("page.html"));
        assert_eq!(browser.text("document.querySelector('h1').textContent"), "epoch00.npy to epoch10.npy");
        assert_eq!(browser.value("document.querySelectorAll('#silhouettes figure').length"), 3);
        assert_eq!(browser.value("document.querySelectorAll('#changes .gained, #changes .lost').length"), 10);
        assert!(!browser.overflows(), "{width}");
        assert_eq!(browser.complaints(), [""; 0]);
    }
    browser.size(1280, 844);
    browser.hover("#metrics .point");
    let told = browser.text("document.getElementById('hint').textContent");
    assert!(told.starts_with("epoch00.npy: "), "{told}");
    // The identifiers of gradients are unique to a plot, or shared by identical plots.
    let scheme = browser.value("getComputedStyle(document.querySelector('.silhouettes stop.above')).stopColor");
    assert!(scheme.as_str().is_some_and(|colour| colour.starts_with("rgb")), "{scheme}");
}

/// The place on the screen of a point of the projection, and its row.
const A_POINT: &str = "(() => { const svg = document.querySelector('svg.points'); svg.scrollIntoView({block: 'center', behavior: \
     'instant'}); const points = JSON.parse(svg.dataset.points); const at = new DOMPoint(points.x[5] / 10, \
     points.y[5] / 10).matrixTransform(svg.getScreenCTM()); return [at.x, at.y, points.row[5]]; })()";

const HINT: &str = "document.getElementById('hint').textContent";

fn is_shown(part: &str) -> String {
    format!("getComputedStyle(document.querySelector('.points .{part}')).display !== 'none'")
}

#[test]
fn drift_has_a_page_with_both_sets() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = Folder::new();
    folder.write("before.csv", table(&["cat", "dog", "<b>bird</b>"], 180));
    folder.write("after.csv", table(&["cat", "dog"], 120));
    folder.embq(["drift", "before.csv", "after.csv", "-l", "label", "-o", "page.html", "-o", "drift.json"]).success();
    for (width, scheme) in [(1280, "light"), (390, "dark")] {
        browser.size(width, 844);
        browser.prefer(scheme);
        browser.open(&folder.path("page.html"));
        assert_eq!(browser.text("document.querySelector('h1').textContent"), "after.csv:x..z against before.csv:x..z");
        let sections = "Array.from(document.querySelectorAll('section'), (one) => one.id).join()";
        assert_eq!(browser.text(sections), "glance,projection,classes,metrics,origin");
        assert_eq!(browser.value("document.querySelectorAll('.card').length"), 8);
        let lead = browser.text("document.querySelector('.lead').textContent");
        assert!(lead.starts_with("Drift: the sets differ"), "{lead}");
        assert_eq!(browser.value("document.querySelectorAll('#classes .gained, #classes .lost').length"), 3);
        assert!(!browser.overflows(), "{width}");
        assert_eq!(browser.complaints(), [""; 0]);
    }
    // The class that is gone comes first, as text.
    assert_eq!(browser.text(FIRST_CLASS), "<b>bird</b>");
    assert_eq!(browser.text("document.querySelector('#classes tbody td:nth-child(3)').textContent"), "0");
    let json: serde_json::Value = serde_json::from_str(&folder.read("drift.json")).unwrap();
    let numbers = browser.value("document.querySelectorAll('#metrics tbody tr').length");
    assert_eq!(numbers, json["metrics"].as_object().unwrap().len());

    browser.size(1280, 900);
    browser.open(&folder.path("page.html"));
    let place = browser.value(A_POINT);
    let move_to = serde_json::json!({"type": "mouseMoved", "x": place[0], "y": place[1]});
    browser.call("Input.dispatchMouseEvent", move_to);
    let told = browser.text(HINT);
    assert!(told.starts_with("row ") && told.contains(" of before.csv:x..z\nclass "), "{told}");
    assert_eq!((browser.value(&is_shown("by-set")), browser.value(&is_shown("by-class"))), (true.into(), false.into()));
    browser.click("label[for=by-class]");
    assert_eq!((browser.value(&is_shown("by-set")), browser.value(&is_shown("by-class"))), (false.into(), true.into()));
    browser.hover("#classes .lost");
    let told = browser.text(HINT);
    assert!(told.starts_with("<b>bird</b>: 33.3 % to 0.0 %"), "{told}");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn sets_without_labels_and_statistics_have_a_page_of_drift() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = Folder::new();
    let [reference, current] = ["reference", "current"].map(|name| fixture(&format!("drift/{name}_statistics.npz")));
    folder.embq(["drift", &reference, &current, "-o", "page.html"]).success();
    browser.open(&folder.path("page.html"));
    assert_eq!(browser.value("document.querySelectorAll('svg.points, .lead').length"), 0);
    assert!(browser.text("document.querySelector('.notes').textContent").contains("Kid, mmd_rbf, "));
    assert_eq!(browser.complaints(), [""; 0]);

    let rows = fixture("fashion_ckpt_2k/epoch10.npy");
    let options = ["--metrics", "mean_shift,energy_distance", "-o", "page.html", "--fail-if", "mean_shift > 0.1"];
    let run = folder.embq(["drift", &rows, &rows].into_iter().chain(options));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    browser.open(&folder.path("page.html"));
    assert!(browser.text("document.querySelector('.lead.calm').textContent").starts_with("No drift shown"));
    assert!(browser.text("document.querySelector('.gate').textContent").starts_with("Gate held: mean_shift > 0.1"));
    assert_eq!(browser.value("document.querySelectorAll('.choice input').length"), 0, "nothing to choose");
    let place = browser.value(A_POINT);
    let move_to = serde_json::json!({"type": "mouseMoved", "x": place[0], "y": place[1]});
    browser.call("Input.dispatchMouseEvent", move_to);
    let told = browser.text(HINT);
    assert!(told.starts_with("row ") && !told.contains("class"), "{told}");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn similar_spaces_are_heat_maps_of_checkpoints() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = Folder::new();
    let files = ["epoch00.npy", "epoch01.npy", "epoch10.npy"].map(|name| fixture(&format!("fashion_ckpt_2k/{name}")));
    let labels = fixture("fashion_ckpt_2k/labels.npy");
    let options = ["-l", &labels, "--similarity", "-o", "page.html", "-o", "result.json"].map(str::to_owned);
    folder.embq(std::iter::once("compare".to_owned()).chain(files).chain(options)).success();
    let json: serde_json::Value = serde_json::from_str(&folder.read("result.json")).unwrap();
    let matrices = json["similarities"]["matrices"].as_object().unwrap();
    for width in [1280, 390] {
        browser.size(width, 844);
        browser.open(&folder.path("page.html"));
        assert_eq!(browser.value("document.querySelectorAll('#similarity figure').length"), matrices.len());
        assert_eq!(browser.value("document.querySelectorAll('#similarity figure:first-child rect').length"), 9);
        assert_eq!(browser.value("document.querySelectorAll('#verdicts tbody th').length").as_u64().unwrap() % 2, 0);
        assert_eq!(browser.value("document.querySelectorAll('#silhouettes figure').length"), 3);
        assert!(!browser.overflows(), "{width}");
        assert_eq!(browser.complaints(), [""; 0]);
    }
    browser.size(1280, 900);
    browser.hover("#similarity figure:first-child rect:nth-of-type(2)");
    let told = browser.text(HINT);
    let expected = matrices["linear_cka"][0][1].as_f64().unwrap();
    assert_eq!(told, format!("epoch00.npy against epoch01.npy: {expected:.4}"));
    // The same space is darkest by every number, that of Procrustes included.
    let darkest = "Array.from(document.querySelectorAll('#similarity figure'), (one) => \
                   one.querySelector('rect').getAttribute('class')).join()";
    assert_eq!(browser.text(darkest), vec!["q11"; matrices.len()].join(","));
}

#[test]
fn points_tell_their_row_and_change_their_colours() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = Folder::new();
    digits(&folder);
    browser.open(&folder.path("page.html"));
    let place = browser.value(A_POINT);
    let move_to = serde_json::json!({"type": "mouseMoved", "x": place[0], "y": place[1]});
    browser.call("Input.dispatchMouseEvent", move_to);
    let told = browser.text(HINT);
    assert!(told.starts_with("row ") && told.contains("class ") && told.contains("silhouette "), "{told}");

    assert_eq!(browser.value(&is_shown("by-class")), true);
    assert_eq!(browser.value(&is_shown("by-silhouette")), false);
    browser.click("label[for=by-silhouette]");
    assert_eq!(browser.value(&is_shown("by-class")), false);
    assert_eq!(browser.value(&is_shown("by-silhouette")), true);
    assert_eq!(browser.complaints(), [""; 0]);
}
