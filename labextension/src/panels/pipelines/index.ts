import type { CommandRegistry } from '@lumino/commands';
import { createElement } from 'react';

import { Section } from '../../section';
import type { IMLOps } from '../../tokens';
import { PipelinesBody } from './body';
import { PipelinesModel } from './model';

/** Make the Pipelines section. */
export function createPipelines(mlops: IMLOps, commands: CommandRegistry): Section<PipelinesModel> {
  return new Section(new PipelinesModel(mlops), model =>
    createElement(PipelinesBody, { model, commands })
  );
}
