// The search of this site runs in a Worker, which browsers do not start from a file. Where pages are opened from a folder, a hidden
// frame takes its place, with what Material's search needs of a Worker.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.body.appendChild(Object.assign(document.createElement("iframe"), {hidden: true}));
      const inside = this.frame.contentWindow, page = this.frame.contentDocument;
      inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", {data}));
      inside.importScripts = (...urls) => urls.reduce((before, one) => before.then(() => load(page, one)), Promise.resolve());
      this.addEventListener("message", event => this.onmessage?.(event));
      load(page, url).then(() => {
        const waiting = this.waiting;
        this.waiting = null;
        waiting.forEach(data => this.postMessage(data));
      });
    }
    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.frame.contentWindow.dispatchEvent(new MessageEvent("message", {data}));
    }
    terminate() {
      this.frame.remove();
    }
  };
  const load = (page, url) => new Promise((done, failed) => {
    const script = Object.assign(page.createElement("script"), {src: new URL(url, location.href).href, onload: done, onerror: failed});
    page.body.append(script);
  });
  window.Worker = window.IFrameWorker;
}
