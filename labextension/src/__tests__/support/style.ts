export {}; // Styles draw nothing here.
