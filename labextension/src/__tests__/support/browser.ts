/** What JupyterLab expects of a browser and neither jsdom nor Node has. */
class Quiet {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}

Object.assign(globalThis, {
  ResizeObserver: Quiet,
  IntersectionObserver: Quiet,
  DragEvent: class extends Event {},
  IS_REACT_ACT_ENVIRONMENT: true
});
window.matchMedia = () => ({ matches: false, addEventListener() {} }) as unknown as MediaQueryList;
Object.assign(navigator, { clipboard: {} });

export {};
