// Adds the styles of the administration to the document, once, when its code comes.

import styles from './admin.css?url';

const link = document.createElement('link');
link.rel = 'stylesheet';
link.href = styles;
document.head.append(link);
