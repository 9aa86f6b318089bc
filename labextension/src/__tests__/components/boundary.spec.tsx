import { render, screen } from '@testing-library/react';
import * as React from 'react';

import { Boundary } from '../../components/boundary';

function Row({ row }: { row: { name: string } | null }): JSX.Element {
  return <p>{(row as { name: string }).name}</p>;
}

describe('Boundary', () => {
  it('explains a fault, and draws again when other content comes', () => {
    const silent = jest.spyOn(console, 'error').mockImplementation(() => {});
    const draw = (row: { name: string } | null) => (
      <Boundary>
        <Row row={row} />
      </Boundary>
    );
    const view = render(draw(null));
    expect(screen.getByRole('alert').textContent).toContain('could not be drawn');
    view.rerender(draw({ name: 'baseline' }));
    expect(screen.getByText('baseline')).toBeTruthy();
    silent.mockRestore();
  });
});
