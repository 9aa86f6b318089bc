import * as React from 'react';

let made = 0;

/**
 * An id that no other element has.
 *
 * React's own useId counts anew in each root, and every section is a root.
 */
export function useUniqueId(): string {
  const [id] = React.useState(() => `jp-mlops-${++made}`);
  return id;
}
