// What of the page is open. Holds nothing about calls.

export type View = 'desk' | 'board' | 'accounts' | 'past' | 'messages' | 'admin';

export const ui = $state({
  view: 'desk' as View,
  help: false,
  states: false,
  newCustomer: false,
  /** Whether a message is being written. */
  message: false,
  /** Whether something is looked for everywhere. */
  palette: false,
  /** Whether a notice of the account in front is being written. */
  notice: false,
  /** Whether a reason for no message is being chosen. */
  noMessage: false,
  account: '',
  /** The call that is open among those that are over. */
  call: '',
  /** The message that is open in the list. */
  opened: '',
  /** Whether the scripts of the account are edited. */
  scripts: false,
});
