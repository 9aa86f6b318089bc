import type { CommandRegistry } from '@lumino/commands';
import { createElement } from 'react';

import { Section } from '../../section';
import type { IMLOps } from '../../tokens';
import { RunsBody } from './body';
import { RunsModel } from './model';

/** Make the Runs section. */
export function createRuns(mlops: IMLOps, commands: CommandRegistry): Section<RunsModel> {
  return new Section(new RunsModel(mlops), model => createElement(RunsBody, { model, commands }));
}
