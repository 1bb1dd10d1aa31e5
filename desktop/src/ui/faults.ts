import type { QueueFault } from '../api/types.ts';
import { aside, labelled } from '../i18n/index.svelte.ts';

/** A queue that does not follow: its name, the key of the configuration that names it, and what the PBX says. */
export const faultText = (fault: QueueFault): string => labelled(fault.queue + aside(fault.setting), fault.message);
