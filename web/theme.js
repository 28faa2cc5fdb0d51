// Before the first paint: the theme the operator chose on this machine; without a choice the system decides.
(function () {
  var kept = localStorage.getItem("hf-theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
