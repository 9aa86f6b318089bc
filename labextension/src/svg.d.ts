declare module '*.svg' {
  /** The source of the drawing; the bundler inlines it as text. */
  const source: string;
  export default source;
}
