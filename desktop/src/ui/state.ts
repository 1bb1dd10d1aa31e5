// Which colour says which state.

import type { OperatorStateName } from '../api/types.ts';

export function toneOf(state: OperatorStateName | undefined): string {
  switch (state) {
    case 'ready':
      return 'good';
    case 'reserved':
      return 'ring';
    case 'talking':
      return 'accent';
    case 'on_hold':
    case 'wrap_up':
      return 'hold';
    default:
      return 'none';
  }
}
