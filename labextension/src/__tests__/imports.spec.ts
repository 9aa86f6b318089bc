import { readdirSync, readFileSync, statSync } from 'fs';
import { dirname, join, relative, resolve } from 'path';

const SRC = resolve(__dirname, '..');

function sources(folder: string): string[] {
  return readdirSync(folder)
    .map(name => join(folder, name))
    .filter(path => !path.includes('__tests__'))
    .flatMap(path => (statSync(path).isDirectory() ? sources(path) : [path]));
}

/** What a module imports of ours, relative to `src`. */
function importsOf(path: string): string[] {
  const found = readFileSync(path, 'utf8').matchAll(/from '(\.[^']*)'/g);
  return [...found].map(([, target]) => relative(SRC, resolve(dirname(path), target)));
}

describe('the direction of imports', () => {
  const modules = sources(SRC).map(path => ({
    name: relative(SRC, path),
    imports: importsOf(path)
  }));

  it('keeps panels away from the doors and from one another', () => {
    const wrong = modules
      .filter(({ name }) => name.startsWith('panels'))
      .flatMap(({ name, imports }) => {
        const own = dirname(name);
        const barred = (target: string) =>
          /^(request|comm|jobs|place|service|commands|sidebar|index)$/.test(target) ||
          (target.startsWith('panels') && !target.startsWith(own));
        return imports.filter(barred).map(target => `${name} imports ${target}`);
      });
    expect(wrong).toEqual([]);
  });

  it('lets components know the contracts only', () => {
    const allowed = /^(components|tokens$|records$)/;
    const wrong = modules
      .filter(({ name }) => name.startsWith('components'))
      .flatMap(({ name, imports }) =>
        imports.filter(target => !allowed.test(target)).map(target => `${name} imports ${target}`)
      );
    expect(wrong).toEqual([]);
  });

  it('never sets inner HTML', () => {
    const wrong = sources(SRC).filter(path =>
      /dangerouslySetInnerHTML|innerHTML/.test(readFileSync(path, 'utf8'))
    );
    expect(wrong).toEqual([]);
  });
});
