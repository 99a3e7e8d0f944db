// Search from a folder: browsers start no Worker from file://, so that a hidden frame stands in for one. The theme's offline
// plugin would load a script for this from elsewhere; a polyfill of this name keeps it from doing so.
(() => {
  if (location.protocol !== "file:") return;

  // What the theme's search worker expects of the frame that it runs in.
  const inTheFrame = () => {
    self.importScripts = (...urls) =>
      urls.reduce(
        (before, url) =>
          before.then(
            () =>
              new Promise((resolve, reject) => {
                const script = document.createElement("script");
                script.src = url;
                script.onload = resolve;
                script.onerror = reject;
                document.body.appendChild(script);
              }),
          ),
        Promise.resolve(),
      );
  };

  class IFrameWorker extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.appendChild(this.frame);
      const inner = this.frame.contentWindow;
      inner.document.open();
      inner.document.write(`<body><script>(${inTheFrame})()</` + `script><script src="${url}"></` + "script></body>");
      inner.document.close();
      inner.postMessage = (data) => {
        const event = new MessageEvent("message", { data });
        this.dispatchEvent(event);
        if (this.onmessage) this.onmessage(event);
      };
      this.frame.onload = () => {
        this.waiting.splice(0).forEach((data) => this.deliver(data));
        this.waiting = null;
      };
    }

    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.deliver(data);
    }

    deliver(data) {
      const inner = this.frame.contentWindow;
      inner.dispatchEvent(new inner.MessageEvent("message", { data }));
    }

    terminate() {
      this.frame.remove();
    }
  }

  window.IFrameWorker = window.Worker = IFrameWorker;
})();
