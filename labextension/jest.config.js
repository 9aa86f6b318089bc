/** Real JupyterLab packages run here; they ship as ES modules, so everything is transformed. */
module.exports = {
  testEnvironment: '<rootDir>/src/__tests__/support/environment.js',
  roots: ['<rootDir>/src/__tests__'],
  testRegex: '\\.spec\\.tsx?$',
  moduleNameMapper: {
    '\\.(css|less)$': '<rootDir>/src/__tests__/support/style.ts',
    '\\.svg$': '<rootDir>/src/__tests__/support/drawing.ts'
  },
  setupFiles: ['<rootDir>/src/__tests__/support/browser.ts'],
  transform: {
    '\\.(tsx?|m?jsx?)$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript', tsx: true }, target: 'es2022' },
        module: { type: 'commonjs' }
      }
    ]
  },
  transformIgnorePatterns: [
    '/node_modules/(?!(@jupyter|@jupyterlab|@lumino|@microsoft|@rjsf|exenv-es6|lib0|y-protocols|y-websocket|yjs|nanoid|uuid)/)'
  ]
};
