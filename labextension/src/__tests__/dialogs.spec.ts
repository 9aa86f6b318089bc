import { getByLabelText, queryByLabelText } from '@testing-library/dom';

import { PromoteForm } from '../dialogs';

function fill(field: HTMLElement, value: string): void {
  (field as HTMLInputElement).value = value;
}

describe('PromoteForm', () => {
  it('proposes the alias champion and no message', () => {
    const form = new PromoteForm(['churn/2']);
    expect(form.getValue()).toEqual({ model: 'churn/2', to: 'champion', message: '' });
    expect(queryByLabelText(form.node, 'Version')).toBeNull();
  });

  it('gives what was typed, without the spaces around it', () => {
    const form = new PromoteForm(['churn/2']);
    fill(getByLabelText(form.node, 'Alias'), ' challenger ');
    fill(getByLabelText(form.node, 'Message (optional)'), 'better recall');
    expect(form.getValue()).toMatchObject({ to: 'challenger', message: 'better recall' });
  });

  it('offers the versions when none is given, hostile names as text', () => {
    const form = new PromoteForm(['<img src=x>/1', 'churn/2']);
    fill(getByLabelText(form.node, 'Version'), 'churn/2');
    expect(form.getValue().model).toBe('churn/2');
    expect(form.node.querySelector('img')).toBeNull();
  });
});
