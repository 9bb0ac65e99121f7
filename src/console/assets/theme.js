// Light or dark as a person chose it last, before anything is shown. Without a choice the system decides.
"use strict";
try {
  const kept = localStorage.getItem("theme");
  if (kept) document.documentElement.dataset.theme = kept;
} catch { /* nothing may be kept here */ }
