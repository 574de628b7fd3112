"""A real JupyterLab on loopback and a real browser in front of it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from playwright.sync_api import TimeoutError

# no news from elsewhere, and all cells in the page at once, so that each can be looked at
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
IDLE = "| Idle"
PATIENCE = 20_000  # milliseconds until a moved control has done nothing
# from when a key is pressed or a menu's choice is another one to when the figure is
WATCH = """box => {
  const figure = () => [...box.querySelectorAll('img')].map(i => i.src).concat([...box.querySelectorAll('svg')].map(s => s.outerHTML)).join();
  const before = figure();
  window.watched?.stop();
  const now = { moved: 0, changed: 0 };
  const begin = () => { now.moved ||= performance.now(); };
  for (const kind of ['keydown', 'change']) box.addEventListener(kind, begin, true);
  const look = new MutationObserver(() => { const seen = figure(); if (seen && seen !== before) now.changed ||= performance.now(); });
  look.observe(box, { childList: true, subtree: true, attributes: true });
  now.stop = () => { look.disconnect(); for (const kind of ['keydown', 'change']) box.removeEventListener(kind, begin, true); };
  window.watched = now;
}"""


@contextmanager
def jupyterlab(folder, work, **environment):
    """JupyterLab on a folder; yields its address and its token. work: for its own files."""
    for name, content in SETTINGS.items():
        package, plugin = name.split("/")
        where = work / "settings" / "@jupyterlab" / package
        where.mkdir(parents=True, exist_ok=True)
        (where / f"{plugin}.jupyterlab-settings").write_text(json.dumps(content))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = os.urandom(12).hex()
    own = {"JUPYTER_CONFIG_DIR": "config", "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "spaces",
           "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython"}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
               f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
               f"--ServerApp.root_dir={folder}", "--LabApp.news_url=None", "--LabApp.extension_manager=readonly",
               "--ServerApp.contents_manager_class=cnnviz_utils.course.contents.Lessons",  # as `cnnviz lab` does
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    settings = os.environ | {name: str(work / path) for name, path in own.items()} | environment
    with open(work / "lab.log", "w") as log:
        process = subprocess.Popen(command, env=settings, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=2)
                break
            except OSError:
                assert process.poll() is None, (work / "lab.log").read_text()[-2000:]
                time.sleep(0.2)
        yield address, token
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Opened:
    """A notebook that is open in JupyterLab: what the browser said and asked for, and what a person does."""

    def __init__(self, browser, lab, name, timeout):
        address, token = self.lab = lab
        self.outside, self.errors, self.timeout = [], [], 1000 * timeout
        self.page = browser.new_page(viewport={"width": 1280, "height": 1400})
        own = (address, "data:", "blob:", address.replace("http", "ws", 1), "about:")
        self.page.on("request", lambda request: None if request.url.startswith(own) else self.outside.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)[:300]))
        self.page.on("console", lambda said: self.errors.append(said.text[:300]) if said.type == "error" else None)
        self.page.set_default_timeout(180_000)
        self.page.goto(f"{address}/lab/tree/{name}?reset&token={token}")
        self.page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")
        self.idle()

    def close(self):
        """Close the page and end its kernel, which would keep its memory."""
        self.page.close()
        address, token = self.lab
        kernels = f"{address}/api/kernels"
        for kernel in json.load(urllib.request.urlopen(f"{kernels}?token={token}")):
            urllib.request.urlopen(urllib.request.Request(f"{kernels}/{kernel['id']}?token={token}", method="DELETE"))

    def idle(self):
        self.page.locator("#jp-main-statusbar").get_by_text(IDLE).wait_for(timeout=self.timeout)

    def changed(self) -> bool:
        """Whether the tab shows that the notebook differs from its file."""
        self.page.wait_for_timeout(1500)
        return bool(self.page.query_selector(".lm-TabBar-tab.jp-mod-dirty, .jp-mod-dirty.lm-mod-current"))

    def run_all(self):
        self.page.get_by_role("menuitem", name="Run", exact=True).first.click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        # a cell whose source is hidden has no number; what waits or runs has a star
        waiting = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].some(p => p.textContent.includes('*'))"
        error = "document.querySelector('[data-mime-type=\"application/vnd.jupyter.error\"]')"
        self.page.wait_for_function(waiting)
        self.page.wait_for_function(f"() => !{waiting} || {error}", timeout=self.timeout, polling=500)
        self.idle()

    def failures(self) -> int:
        return self.page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').count()

    def explorers(self) -> int:
        return self.page.locator(".widget-interact").count()

    def move(self, number) -> tuple[bool, float]:
        """Move a control of one explorer: whether its figure changed, and seconds until it had, by the page's clock."""
        box = self.page.locator(".widget-interact").nth(number)
        box.scroll_into_view_if_needed()
        self.page.wait_for_function("box => box.querySelector('img, svg')", arg=box.element_handle())
        for act in actions(self.page, box):
            box.evaluate(WATCH)
            act()
            try:
                self.page.wait_for_function("watched.changed", timeout=PATIENCE)
            except TimeoutError:
                continue  # this setting shows the same: the next control
            finally:
                self.idle()
            return True, self.page.evaluate("(watched.changed - watched.moved) / 1000")
        return False, 0.0


def actions(page, box):
    """What a person can do with an explorer by keyboard, one after the other."""
    def key(where, *keys):
        def act():
            where.focus()
            for one in keys:
                page.keyboard.press(one)
        return act

    for pad in box.locator("canvas.cnnviz-pad").all():
        yield key(pad, "Space", *["ArrowRight"] * 8, "Space")
        yield key(pad, "ArrowDown")
    for handle in box.locator(".noUi-handle").all():
        yield key(handle, "ArrowRight")
        yield key(handle, "ArrowLeft")
    for menu in box.locator("select").all():
        options = menu.locator("option").count()
        for at in range(min(options, 6)):
            yield lambda menu=menu, at=at: menu.select_option(index=at)
    for tick in box.locator("input[type=checkbox]").all():
        yield key(tick, "Space")
    for button in box.locator("button.widget-upload, .widget-upload button").all():
        yield lambda button=button: choose_photo(page, button)


def choose_photo(page, button):
    """Open the chooser of files by keyboard and take a photo that comes with matplotlib."""
    with page.expect_file_chooser() as chooser:
        button.focus()
        page.keyboard.press("Enter")
    chooser.value.set_files(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")


