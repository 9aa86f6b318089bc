import * as React from 'react';

import { ErrorMessage } from './message';

interface IProps {
  children?: React.ReactNode;
}

interface IState {
  fault: Error | null;
}

/** Keeps one section's fault from emptying it without a word; what comes next is drawn again. */
export class Boundary extends React.Component<IProps, IState> {
  static getDerivedStateFromError(fault: Error): IState {
    return { fault };
  }

  override readonly state: IState = { fault: null };

  override componentDidUpdate(before: IProps): void {
    if (this.state.fault && before.children !== this.props.children) {
      this.setState({ fault: null });
    }
  }

  override render(): React.ReactNode {
    const { fault } = this.state;
    if (!fault) {
      return this.props.children;
    }
    return (
      <ErrorMessage
        error={{
          message: 'This section could not be drawn.',
          hint: `${fault.message}. Check that server and extension have the same version.`
        }}
      />
    );
  }
}
