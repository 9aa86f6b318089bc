import type { CommandRegistry } from '@lumino/commands';
import { createElement } from 'react';

import { Section } from '../../section';
import type { IMLOps } from '../../tokens';
import { SnapshotsBody } from './body';
import { SnapshotsModel } from './model';

/** Make the Snapshots section. */
export function createSnapshots(mlops: IMLOps, commands: CommandRegistry): Section<SnapshotsModel> {
  return new Section(new SnapshotsModel(mlops), model =>
    createElement(SnapshotsBody, { model, commands })
  );
}
