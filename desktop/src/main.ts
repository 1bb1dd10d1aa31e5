import { mount } from 'svelte';
import App from './ui/App.svelte';
import './ui/page.css';

const target = document.getElementById('page');
if (target) mount(App, { target });
