//! A headless Chromium, controlled through its DevTools protocol.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// No step of these tests takes this long.
const LIMIT: Duration = Duration::from_secs(60);

/// A browser with one tab, closed when dropped.
pub struct Browser {
    process: Child,
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    calls: u64,
    events: VecDeque<Value>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser; if there is none, prints a conspicuous line.
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            // Written past the test harness, which captures the output of passing tests.
            let line = "\nSKIPPED: no Chromium is on PATH, so the page is NOT tested in a browser (set CHROMIUM, or \
                        install chromium)\n\n";
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let process = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--hide-scrollbars", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = address(profile.path());
        let stream = TcpStream::connect(address.split('/').nth(2).unwrap()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let (socket, _) = tungstenite::client(&address, stream).unwrap();
        let mut browser =
            Browser { process, socket, session: None, calls: 0, events: VecDeque::new(), _profile: profile };
        let tab = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = browser.call("Target.attachToTarget", json!({"targetId": tab["targetId"], "flatten": true}));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.size(1280, 900);
        Some(browser)
    }

    /// Sends a command and waits for its result; events received meanwhile are kept.
    #[track_caller]
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string())).unwrap();
        loop {
            let message = self.receive();
            if message["id"] == json!(self.calls) {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push_back(message);
        }
    }

    fn receive(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.read().expect("the browser answers") {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// Opens a file and waits until it is loaded.
    pub fn open(&mut self, path: &Path) {
        self.events.clear();
        self.call("Page.navigate", json!({"url": format!("file://{}", path.display())}));
        let is_loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        let started = Instant::now();
        while !self.events.iter().any(is_loaded) {
            assert!(started.elapsed() < LIMIT, "{} is never loaded", path.display());
            let event = self.receive();
            self.events.push_back(event);
        }
    }

    /// Sets the size of the window in pixels.
    pub fn size(&mut self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Sets the colour scheme that the system prefers.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// The value of a JavaScript expression.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// The text of the value of an expression.
    #[track_caller]
    pub fn text(&mut self, expression: &str) -> String {
        self.value(expression).as_str().unwrap_or_else(|| panic!("{expression} is text")).to_owned()
    }

    /// Moves the mouse to the middle of the first element that matches the selector.
    #[track_caller]
    pub fn hover(&mut self, selector: &str) {
        let (x, y) = self.middle(selector);
        self.call("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": x, "y": y}));
    }

    /// Clicks the first element that matches the selector.
    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        let (x, y) = self.middle(selector);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Types text into the focused element.
    pub fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Presses a key.
    pub fn press(&mut self, key: &str) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({"type": kind, "key": key, "code": key, "text": text}));
        }
    }

    #[track_caller]
    fn middle(&mut self, selector: &str) -> (f64, f64) {
        // After two frames the page has notified its scripts of the scroll.
        let place = self.value(&format!(
            "(async () => {{ const found = document.querySelector({}); found.scrollIntoView({{block: 'center', behavior: \
             'instant'}}); await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))); const \
             box = found.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
        ));
        (place[0].as_f64().unwrap(), place[1].as_f64().unwrap())
    }

    /// Messages that the page printed or network requests it made since it was opened, other than its own; empty for a
    /// good page.
    pub fn complaints(&mut self) -> Vec<String> {
        // A round trip, so that all earlier events have arrived.
        self.value("1");
        let told = |event: &Value| {
            let parameters = &event["params"];
            match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded" => Some(event.to_string()),
                "Network.requestWillBeSent" if parameters["type"] != "Document" => Some(event.to_string()),
                _ => None,
            }
        };
        self.events.iter().filter_map(told).collect()
    }

    /// Whether the page is wider than the window.
    pub fn overflows(&mut self) -> bool {
        self.value("document.documentElement.scrollWidth > window.innerWidth").as_bool().unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The browser on this machine.
fn program() -> Option<PathBuf> {
    if let Some(program) = env::var_os("CHROMIUM") {
        return Some(PathBuf::from(program));
    }
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}

/// The browser's address, which it writes to its profile.
fn address(profile: &Path) -> String {
    let started = Instant::now();
    loop {
        let written = fs::read_to_string(profile.join("DevToolsActivePort")).unwrap_or_default();
        if let [port, path] = written.lines().collect::<Vec<_>>()[..] {
            return format!("ws://127.0.0.1:{port}{path}");
        }
        assert!(started.elapsed() < LIMIT, "the browser does not start");
        thread::sleep(Duration::from_millis(50));
    }
}
