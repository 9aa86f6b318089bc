import { LabIcon } from '@jupyterlab/ui-components';

import mlopsSvg from '../style/icons/mlops.svg';

/** The mark of the MLOps tab: two sources joined into one result. */
export const mlopsIcon = new LabIcon({ name: 'mlops:logo', svgstr: mlopsSvg });
