// Shows one image, sound or film of another server, in a frame that can do nothing else.
const [, type, url] = /^#(image|audio|video):(https?:.*)$/s.exec(decodeURI(location.hash)) ?? [];
if (type) {
  const shown = document.createElement(type === "image" ? "img" : type);
  if (type === "image") shown.alt = "";
  else shown.controls = true;
  shown.addEventListener("error", () => {
    document.body.textContent = "It could not be loaded.";
  });
  shown.src = url;
  document.body.append(shown);
}
