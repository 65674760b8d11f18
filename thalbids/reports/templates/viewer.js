"use strict";
(() => {
  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const make = (tag, properties, ...inside) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...inside);
    return element;
  };
  let loading = null;
  const program = () => loading ??= (async () => {
    const packed = new Blob([bytes(document.getElementById("niivue").textContent)]);
    const code = await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).text();
    document.head.append(make("script", {textContent: code}));
    return window.niivue;
  })();

  // Why this browser cannot show the viewer; "" when it can.
  const lacking = () => {
    if (!document.createElement("canvas").getContext("webgl2")) return "This browser has no WebGL2 (or it is switched off)";
    return typeof DecompressionStream === "undefined" ? "This browser is older than 2023" : "";
  };

  const swatch = colour => {
    const square = make("span", {className: "swatch"});
    square.style.background = colour;
    return square;
  };

  const controls = (content, change, view) => {
    const box = make("div", {className: "controls"});
    const pick = make("fieldset", {}, make("legend", {textContent: "Image"}));
    content.images.forEach((image, i) => pick.append(make("label", {},
      make("input", {type: "radio", name: content.key + "image", value: i, checked: i === 0, onchange: change}), " " + image.label)));
    const masks = make("fieldset", {className: "masks"}, make("legend", {textContent: "Masks"}));
    content.masks.forEach((mask, i) => masks.append(make("label", {},
      make("input", {type: "checkbox", value: i, checked: mask.shown, onchange: change}), swatch(mask.colour),
      " " + mask.label + (mask.distrusted ? " (do not trust)" : ""))));
    const slider = className => make("input", {type: "range", min: 0, max: 1, step: 0.05, value: 0.4, oninput: change, className});
    const opacity = slider("opacity");
    const maps = make("fieldset", {className: "maps"}, make("legend", {textContent: "Probability of the thalamus"}));
    content.maps.forEach((map, i) => maps.append(make("label", {},
      make("input", {type: "checkbox", value: i, onchange: change}), " " + map.label)));
    maps.append(make("label", {}, "0 ", make("span", {className: "scale"}), " 1"), make("label", {}, "Opacity ", slider("opacity2")));
    const slices = make("select", {onchange: view});
    for (const [value, label] of [[3, "three planes"], [0, "axial"], [1, "coronal"], [2, "sagittal"]])
      slices.append(make("option", {value, textContent: label}));
    box.append(pick, masks, ...(content.maps.length ? [maps] : []), make("fieldset", {}, make("legend", {textContent: "View"}),
      make("label", {}, "Opacity of the masks ", opacity), make("label", {}, "Slices ", slices)));
    return box;
  };

  const MOVES = {ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0], PageUp: [0, 0, 1], PageDown: [0, 0, -1]};
  const hidden = new WeakMap();  // masks that M switched off, by panel
  const key = (event, nv, panel) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const ticks = [...panel.querySelectorAll(".masks input")], slider = panel.querySelector(".opacity");
    const changed = (input, type) => input.dispatchEvent(new Event(type, {bubbles: true}));
    if (MOVES[event.key]) nv.moveCrosshairInVox(...MOVES[event.key]);
    else if (/^[1-9]$/.test(event.key) && ticks[event.key - 1]) ticks[event.key - 1].click();
    else if (event.key.toLowerCase() === "m") {
      const on = ticks.filter(tick => tick.checked);
      for (const tick of on.length ? on : hidden.get(panel) ?? ticks.slice(0, 1)) tick.checked = !on.length;
      if (on.length) hidden.set(panel, on);
      if (ticks.length) changed(ticks[0], "change");
    } else if ("+=-".includes(event.key)) {
      slider.value = Number(slider.value) + (event.key === "-" ? -0.1 : 0.1);
      changed(slider, "input");
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const open = async (box, content) => {
    const {Niivue, NVImage} = await program();
    const canvas = make("canvas", {});
    canvas.setAttribute("aria-label", "Interactive slices around the thalami; the pictures of this page show the same.");
    const nv = new Niivue({backColor: [0, 0, 0, 1], crosshairColor: [1, 1, 1, 0.5], crosshairWidth: 0.25, show3Dcrosshair: false,
      isColorbar: false, dragAndDropEnabled: false, logLevel: "error", multiplanarShowRender: 0, loadingText: "", isSliceMM: true,
      isOrientationTextVisible: true, showAllOrientationMarkers: true, fontMinPx: 18, fontColor: [1, 0.9, 0.35, 1]});
    const images = new Map();  // unpacked when they are first shown
    const image = async (key, options) => {
      if (!images.has(key)) images.set(key, await NVImage.loadFromBase64({name: key + ".nii.gz", ...options}));
      return images.get(key);
    };
    let turn = 0;
    const show = async () => {
      const mine = ++turn;
      const base = content.images[panel.querySelector("input[type=radio]:checked").value];
      const wanted = [await image(base.label, {base64: base.data, colormap: "gray", cal_min: base.low, cal_max: base.high})];
      for (const input of panel.querySelectorAll(".masks input:checked")) {
        const mask = content.masks[input.value];
        wanted.push(await image(mask.key, {base64: mask.data, colormap: mask.key, cal_min: 0.3, cal_max: 0.7}));
      }
      const last = wanted.length;
      for (const input of panel.querySelectorAll(".maps input:checked")) {
        const map = content.maps[input.value];
        wanted.push(await image("probability " + map.label, {base64: map.data, colormap: "inferno", cal_min: map.low, cal_max: map.high}));
      }
      if (mine !== turn) return;
      wanted.slice(1).forEach((layer, i) => layer.opacity = Number(panel.querySelector(i + 1 < last ? ".opacity" : ".opacity2").value));
      nv.volumes = wanted;
      nv.setVolume(wanted[0], 0);
    };
    const panel = controls(content, show, event => nv.setSliceType(Number(event.target.value)));
    const stage = make("div", {className: "stage", tabIndex: 0}, canvas);
    stage.setAttribute("role", "application");
    stage.setAttribute("aria-label", "Slices; arrow keys, page up and page down move the cross");
    stage.addEventListener("keydown", event => key(event, nv, panel), true);
    box.replaceChildren(panel, stage,
      make("p", {className: "quiet", textContent: "Click or drag: move the cross. Wheel: next slice. Right button: contrast. " +
        "Keys, after a click on the pictures: arrows (left, right, front, back), page up and down move the cross; " +
        "1 to 9: a mask on or off; M: all masks off and on again; + and \u2212: opacity. " +
        "There are no maps of local change (Jacobian): change between visits is one affine movement of each thalamus, a number and no map."}));
    await nv.attachToCanvas(canvas);
    for (const mask of content.masks) {
      const [r, g, b] = [1, 3, 5].map(i => parseInt(mask.colour.slice(i, i + 2), 16));
      nv.addColormap(mask.key, {R: [r, r], G: [g, g], B: [b, b], A: [0, 255], I: [0, 255]});
    }
    await show();
    nv.setSliceType(3);
    box.dataset.state = "open";
    box.niivue = nv;
  };

  for (const box of document.querySelectorAll(".viewer")) {
    box.hidden = false;
    const button = box.querySelector("button");
    button.addEventListener("click", async () => {
      const why = lacking();
      button.disabled = true;
      button.textContent = "Opening ...";
      try {
        if (why) throw new Error(why);
        await open(box, {...JSON.parse(document.getElementById(box.dataset.content).textContent), key: box.dataset.content});
      } catch (error) {
        if (!why) console.error(error);
        box.replaceChildren(make("p", {className: "nothing",
          textContent: `The viewer cannot be shown: ${error.message}. The pictures of this page show the same masks.`}));
        box.dataset.state = "failed";
      }
    });
  }
})();
