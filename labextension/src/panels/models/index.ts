import type { CommandRegistry } from '@lumino/commands';
import { createElement } from 'react';

import { Section } from '../../section';
import type { IMLOps } from '../../tokens';
import { ModelsBody } from './body';
import { ModelsModel } from './model';

/** Make the Models section. */
export function createModels(mlops: IMLOps, commands: CommandRegistry): Section<ModelsModel> {
  return new Section(new ModelsModel(mlops), model =>
    createElement(ModelsBody, { model, commands })
  );
}
