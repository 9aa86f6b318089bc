"use strict";(self.rspackChunk_mlops_jupyter_lab=self.rspackChunk_mlops_jupyter_lab||[]).push([[232],{475(o,e,p){var r=p(601),t=p.n(r),i=p(314),a=(p.n(i))()(t());a.push([o.id,`/* Text is always --jp-ui-font-color1: the paler font colours and the brand colours fall below a
   contrast of 4.5 to 1 on some themes' backgrounds. They serve for icons and borders only. */

.jp-mlops-Sidebar {
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color1);
  font-size: var(--jp-ui-font-size1);
  min-width: 240px;
  overflow-x: hidden;
  overflow-y: auto;
}

.jp-mlops-Sidebar p,
.jp-mlops-Sidebar h2,
.jp-mlops-Sidebar h3,
.jp-mlops-Sidebar h4 {
  margin: 0;
}

.jp-mlops-Sidebar button {
  background: none;
  border: 0;
  color: inherit;
  cursor: pointer;
  font: inherit;
  margin: 0;
  padding: 0;
  text-align: start;
}

.jp-mlops-Sidebar :focus-visible {
  outline: 2px solid var(--jp-brand-color1);
  outline-offset: -2px;
}

.jp-mlops-Sidebar code,
.jp-mlops-Sidebar pre {
  font-family: var(--jp-code-font-family);
  font-size: calc(var(--jp-code-font-size) - 1px);
}

.jp-mlops-Sidebar code {
  background: var(--jp-layout-color2);
  border-radius: 2px;
  color: var(--jp-ui-font-color1);
  overflow-wrap: anywhere;
  padding: 0 3px;
}

/* Header */

.jp-mlops-Header {
  border-bottom: var(--jp-border-width) solid var(--jp-border-color2);
  padding: 8px 8px 8px 12px;
}

.jp-mlops-Header-line,
.jp-mlops-RowWithAction {
  align-items: center;
  display: flex;
  gap: 4px;
}

.jp-mlops-Header-text {
  flex: 1;
  min-width: 0;
}

.jp-mlops-Header h2 {
  font-size: var(--jp-ui-font-size2);
  font-weight: 600;
  line-height: 1.4;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

/* The end of a path tells more than its start, so the start gives way. */
.jp-mlops-Header-path {
  direction: rtl;
  font-size: var(--jp-ui-font-size0);
  overflow: hidden;
  text-align: left;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.jp-mlops-Header .jp-mlops-Chips {
  margin-top: 6px;
}

.jp-mlops-Sidebar .jp-mlops-IconButton {
  border-radius: var(--jp-border-radius);
  flex: none;
  height: 28px;
  width: 28px;
}

.jp-mlops-IconButton > span,
.jp-mlops-Section-fold > span {
  align-items: center;
  display: flex;
  height: 100%;
  justify-content: center;
}

.jp-mlops-Sidebar .jp-mlops-IconButton:hover,
.jp-mlops-Sidebar .jp-mlops-Section-fold:hover {
  background: var(--jp-layout-color2);
}

/* Sections */

.jp-mlops-Section {
  border-bottom: var(--jp-border-width) solid var(--jp-border-color2);
}

.jp-mlops-Section-header {
  align-items: center;
  background: var(--jp-layout-color1);
  display: flex;
  gap: 4px;
  height: 34px;
  padding: 0 8px 0 4px;
  position: sticky;
  top: 0;
  z-index: 1;
}

.jp-mlops-Sidebar .jp-mlops-Section-fold {
  border-radius: var(--jp-border-radius);
  flex: none;
  height: 24px;
  width: 24px;
}

.jp-mlops-Section h3 {
  cursor: pointer;
  font-size: var(--jp-ui-font-size1);
  font-weight: 600;
}

.jp-mlops-Count {
  background: var(--jp-layout-color2);
  border-radius: 9px;
  font-size: var(--jp-ui-font-size0);
  font-variant-numeric: tabular-nums;
  line-height: 18px;
  min-width: 8px;
  padding: 0 6px;
  text-align: center;
}

.jp-mlops-Section-actions {
  margin-inline-start: auto;
}

.jp-mlops-Section-content {
  padding-bottom: 8px;
}

/* Lists and rows */

.jp-mlops-List,
.jp-mlops-Sublist,
.jp-mlops-Gates,
.jp-mlops-Reasons {
  list-style: none;
  margin: 0;
  padding: 0;
}

.jp-mlops-List > li:hover > .jp-mlops-Row,
.jp-mlops-List > li > .jp-mlops-RowWithAction:hover {
  background: var(--jp-layout-color2);
}

.jp-mlops-RowWithAction {
  padding-inline-end: 8px;
}

.jp-mlops-Sidebar .jp-mlops-Row {
  box-sizing: border-box;
  display: block;
  flex: 1;
  line-height: 1.45;
  min-width: 0;
  padding: 4px 8px 4px 12px;
  position: relative;
  width: 100%;
}

.jp-mlops-Sidebar .jp-mlops-RowWithAction > button.jp-mlops-Row {
  padding-inline-start: 28px;
}

.jp-mlops-Caret {
  display: flex;
  left: 8px;
  position: absolute;
  top: 6px;
}

.jp-mlops-Row-text {
  display: block;
}

.jp-mlops-Row-line {
  align-items: baseline;
  display: flex;
  gap: 8px;
  justify-content: space-between;
  min-width: 0;
}

.jp-mlops-Row-line > * {
  flex: none;
}

.jp-mlops-Row-line > :first-child {
  flex: 0 1 auto;
  min-width: 0;
}

.jp-mlops-Name {
  display: block;
  font-weight: 500;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.jp-mlops-Row-line > .jp-mlops-Suffix {
  font-variant-numeric: tabular-nums;
  margin-inline-end: auto;
}

.jp-mlops-Minor {
  font-size: var(--jp-ui-font-size0);
  font-variant-numeric: tabular-nums;
  line-height: 18px;
}

.jp-mlops-Row-text > .jp-mlops-Minor {
  flex-wrap: wrap;
  row-gap: 0;
}

.jp-mlops-Minor > :first-child,
.jp-mlops-Path {
  display: block;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.jp-mlops-Minor > .jp-mlops-Chips {
  display: flex;
  white-space: normal;
}

.jp-mlops-Metrics > * + * {
  margin-inline-start: 10px;
}

.jp-mlops-Metrics b {
  font-weight: 600;
}

.jp-mlops-State {
  align-items: baseline;
  display: inline-flex;
  font-size: var(--jp-ui-font-size0);
  gap: 4px;
  white-space: nowrap;
}

.jp-mlops-State svg {
  align-self: center;
  fill: var(--jp-ui-font-color2);
  flex: none;
  height: 12px;
  width: 12px;
}

.jp-mlops-State[data-tone='good'] svg {
  fill: var(--jp-success-color1);
}

.jp-mlops-State[data-tone='bad'] svg {
  fill: var(--jp-error-color1);
}

.jp-mlops-State[data-tone='busy'] svg {
  fill: var(--jp-info-color1);
}

.jp-mlops-Chips {
  display: flex;
  flex-wrap: wrap;
  gap: 4px;
}

.jp-mlops-Chip {
  border: 1px solid var(--jp-border-color1);
  border-radius: 8px;
  font-size: var(--jp-ui-font-size0);
  line-height: 14px;
  max-width: 100%;
  overflow: hidden;
  padding: 0 6px;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.jp-mlops-Chip[data-strong] {
  border-color: var(--jp-brand-color1);
}

/* Buttons */

.jp-mlops-Sidebar .jp-mlops-Button {
  border: 1px solid var(--jp-border-color1);
  border-radius: var(--jp-border-radius);
  flex: none;
  font-size: var(--jp-ui-font-size0);
  line-height: 20px;
  padding: 0 8px;
  white-space: nowrap;
}

.jp-mlops-Sidebar .jp-mlops-Button:hover:enabled {
  background: var(--jp-layout-color2);
  border-color: var(--jp-brand-color1);
}

.jp-mlops-Sidebar .jp-mlops-Button:active:enabled {
  background: var(--jp-layout-color3);
}

.jp-mlops-Sidebar .jp-mlops-Button:disabled {
  border-color: var(--jp-border-color2);
  color: var(--jp-ui-font-color3);
  cursor: default;
}

.jp-mlops-Sidebar .jp-mlops-Link {
  text-decoration: underline;
  text-underline-offset: 2px;
}

.jp-mlops-Sidebar .jp-mlops-Back {
  align-items: center;
  display: inline-flex;
  margin: 2px 0 4px -4px;
  scroll-margin-top: 40px;
  padding: 2px 6px 2px 0;
  text-decoration: none;
}

.jp-mlops-Sidebar .jp-mlops-Back:hover {
  text-decoration: underline;
}

.jp-mlops-Back > span {
  display: flex;
}

/* Messages */

.jp-mlops-Notice > p > .jp-mlops-State {
  font-size: inherit;
}

.jp-mlops-Placeholder,
.jp-mlops-Note {
  line-height: 1.5;
  padding: 2px 12px 4px;
}

.jp-mlops-Sidebar .jp-mlops-Note {
  font-size: var(--jp-ui-font-size0);
}

.jp-mlops-Error,
.jp-mlops-Notice {
  background: var(--jp-layout-color2);
  border-inline-start: 3px solid var(--jp-info-color1);
  line-height: 1.45;
  margin: 4px 8px 8px 12px;
  overflow-wrap: anywhere;
  padding: 6px 8px;
  scroll-margin-top: 40px;
}

.jp-mlops-Error {
  border-color: var(--jp-error-color1);
}

.jp-mlops-Notice > :last-child {
  margin-bottom: 0;
}

.jp-mlops-Notice tr:last-child > * {
  border-bottom: 0;
}

.jp-mlops-Notice[data-bad] {
  border-color: var(--jp-error-color1);
}

.jp-mlops-Header .jp-mlops-Error,
.jp-mlops-Details .jp-mlops-Error,
.jp-mlops-More-details .jp-mlops-Error,
.jp-mlops-More-details .jp-mlops-Notice {
  margin-inline: 0;
}

.jp-mlops-Error-message {
  font-weight: 600;
}

.jp-mlops-Sidebar .jp-mlops-Error-hint {
  margin-top: 2px;
}

.jp-mlops-More {
  align-items: center;
  display: flex;
  font-size: var(--jp-ui-font-size0);
  gap: 8px;
  padding: 4px 12px;
}

@keyframes jp-mlops-slide {
  from {
    transform: translateX(-100%);
  }

  to {
    transform: translateX(300%);
  }
}

.jp-mlops-Bar {
  background: var(--jp-layout-color3);
  height: 3px;
  margin-bottom: 6px;
  overflow: hidden;
}

.jp-mlops-Bar::after {
  animation: jp-mlops-slide 1.4s linear infinite;
  background: var(--jp-brand-color1);
  content: '';
  display: block;
  height: 100%;
  width: 33%;
}

@media (prefers-reduced-motion: reduce) {
  .jp-mlops-Bar::after {
    animation: none;
    width: 100%;
  }
}

/* Details */

.jp-mlops-Details {
  padding: 0 12px 4px;
}

.jp-mlops-More-details {
  padding: 2px 12px 8px 28px;
}

.jp-mlops-Sidebar .jp-mlops-Details h4 {
  font-size: var(--jp-ui-font-size1);
  font-weight: 600;
  overflow-wrap: anywhere;
}

.jp-mlops-Summary {
  -webkit-box-orient: vertical;
  -webkit-line-clamp: 3;
  display: -webkit-box;
  margin-top: 2px;
  overflow: hidden;
}

.jp-mlops-Facts {
  font-size: calc(var(--jp-ui-font-size1) - 1px);
  line-height: 1.5;
  margin: 4px 0 8px;
}

.jp-mlops-Facts > div {
  display: flex;
  gap: 8px;
}

.jp-mlops-Facts dt {
  flex: 0 0 76px;
  font-size: var(--jp-ui-font-size0);
  line-height: 20px;
}

.jp-mlops-More-details .jp-mlops-Facts dt {
  flex-basis: 62px;
}

.jp-mlops-Facts dd {
  margin: 0;
  min-width: 0;
  overflow-wrap: anywhere;
}

.jp-mlops-Table {
  border-collapse: collapse;
  font-size: var(--jp-ui-font-size0);
  margin: 8px 0;
  table-layout: auto;
  width: 100%;
}

.jp-mlops-Table caption,
.jp-mlops-Source figcaption {
  font-size: var(--jp-ui-font-size1);
  font-weight: 600;
  padding-bottom: 2px;
  text-align: start;
}


.jp-mlops-Table th,
.jp-mlops-Table td {
  border-bottom: 1px solid var(--jp-border-color2);
  font-weight: 400;
  overflow-wrap: anywhere;
  padding: 3px 8px 3px 0;
  text-align: start;
  vertical-align: top;
}

.jp-mlops-Table thead th {
  border-bottom-color: var(--jp-border-color1);
  overflow-wrap: normal;
}

.jp-mlops-Table:not([data-numeric]) thead th:first-child {
  width: 32%;
}

.jp-mlops-Table th[scope='row'] {
  min-width: 48px;
}

.jp-mlops-Table th:last-child,
.jp-mlops-Table td:last-child {
  padding-inline-end: 0;
}

.jp-mlops-Table td {
  font-variant-numeric: tabular-nums;
}

.jp-mlops-Table[data-numeric] th:last-child,
.jp-mlops-Table[data-numeric] td:last-child {
  text-align: end;
}

.jp-mlops-Source {
  margin: 8px 0 4px;
}

.jp-mlops-Source-code {
  background: var(--jp-cell-editor-background, var(--jp-layout-color2));
  border: 1px solid var(--jp-border-color2);
  max-height: 320px;
  overflow: auto;
  padding: 6px 8px;
}

.jp-mlops-Source pre {
  line-height: 1.4;
  margin: 0;
}

.jp-mlops-Gates {
  margin: 4px 0;
}

.jp-mlops-Gates > li {
  border-bottom: 1px solid var(--jp-border-color2);
  display: flex;
  flex-wrap: wrap;
  font-size: var(--jp-ui-font-size0);
  justify-content: space-between;
  padding: 3px 0;
}

.jp-mlops-Gates > li:last-child {
  border-bottom: 0;
}

.jp-mlops-Gates-name {
  min-width: 0;
  overflow-wrap: anywhere;
}

.jp-mlops-Gates p {
  flex: 1 0 100%;
  overflow-wrap: anywhere;
}

/* Pipelines */

.jp-mlops-Sublist {
  margin: 0 8px 6px 12px;
}

.jp-mlops-Sublist > li {
  border-inline-start: 2px solid var(--jp-border-color2);
  padding: 2px 0 2px 10px;
}

.jp-mlops-Sublist time {
  font-size: var(--jp-ui-font-size0);
  font-variant-numeric: tabular-nums;
}

/* Dialogs */

.jp-mlops-Form {
  min-width: 300px;
}

.jp-mlops-Field {
  display: flex;
  flex-direction: column;
  gap: 4px;
  padding: 4px 2px 8px;
}

.jp-mlops-Field label {
  color: var(--jp-ui-font-color1);
}
`,""]),p.d(e,{},{A:a})},314(o){o.exports=function(o){var e=[];return e.toString=function(){return this.map(function(e){var p="",r=void 0!==e[5];return e[4]&&(p+="@supports (".concat(e[4],") {")),e[2]&&(p+="@media ".concat(e[2]," {")),r&&(p+="@layer".concat(e[5].length>0?" ".concat(e[5]):""," {")),p+=o(e),r&&(p+="}"),e[2]&&(p+="}"),e[4]&&(p+="}"),p}).join("")},e.i=function(o,p,r,t,i){"string"==typeof o&&(o=[[null,o,void 0]]);var a={};if(r)for(var l=0;l<this.length;l++){var n=this[l][0];null!=n&&(a[n]=!0)}for(var s=0;s<o.length;s++){var d=[].concat(o[s]);r&&a[d[0]]||(void 0!==i&&(void 0===d[5]||(d[1]="@layer".concat(d[5].length>0?" ".concat(d[5]):""," {").concat(d[1],"}")),d[5]=i),p&&(d[2]&&(d[1]="@media ".concat(d[2]," {").concat(d[1],"}")),d[2]=p),t&&(d[4]?(d[1]="@supports (".concat(d[4],") {").concat(d[1],"}"),d[4]=t):d[4]="".concat(t)),e.push(d))}},e}},601(o){o.exports=function(o){return o[1]}},72(o){var e=[];function p(o){for(var p=-1,r=0;r<e.length;r++)if(e[r].identifier===o){p=r;break}return p}function r(o,r){for(var t={},i=[],a=0;a<o.length;a++){var l=o[a],n=r.base?l[0]+r.base:l[0],s=t[n]||0,d="".concat(n," ").concat(s);t[n]=s+1;var c=p(d),m={css:l[1],media:l[2],sourceMap:l[3],supports:l[4],layer:l[5]};if(-1!==c)e[c].references++,e[c].updater(m);else{var j=function(o,e){var p=e.domAPI(e);return p.update(o),function(e){e?(e.css!==o.css||e.media!==o.media||e.sourceMap!==o.sourceMap||e.supports!==o.supports||e.layer!==o.layer)&&p.update(o=e):p.remove()}}(m,r);r.byIndex=a,e.splice(a,0,{identifier:d,updater:j,references:1})}i.push(d)}return i}o.exports=function(o,t){var i=r(o=o||[],t=t||{});return function(o){o=o||[];for(var a=0;a<i.length;a++){var l=p(i[a]);e[l].references--}for(var n=r(o,t),s=0;s<i.length;s++){var d=p(i[s]);0===e[d].references&&(e[d].updater(),e.splice(d,1))}i=n}}},659(o){var e={};o.exports=function(o,p){var r=function(o){if(void 0===e[o]){var p=document.querySelector(o);if(window.HTMLIFrameElement&&p instanceof window.HTMLIFrameElement)try{p=p.contentDocument.head}catch(o){p=null}e[o]=p}return e[o]}(o);if(!r)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");r.appendChild(p)}},540(o){o.exports=function(o){var e=document.createElement("style");return o.setAttributes(e,o.attributes),o.insert(e,o.options),e}},56(o,e,p){o.exports=function(o){var e=p.nc;e&&o.setAttribute("nonce",e)}},206(o){o.exports=function(o){if("u"<typeof document)return{update:function(){},remove:function(){}};var e=o.insertStyleElement(o);return{update:function(p){var r,t,i;r="",p.supports&&(r+="@supports (".concat(p.supports,") {")),p.media&&(r+="@media ".concat(p.media," {")),(t=void 0!==p.layer)&&(r+="@layer".concat(p.layer.length>0?" ".concat(p.layer):""," {")),r+=p.css,t&&(r+="}"),p.media&&(r+="}"),p.supports&&(r+="}"),(i=p.sourceMap)&&"u">typeof btoa&&(r+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(i))))," */")),o.styleTagTransform(r,e,o.options)},remove:function(){var o;null===(o=e).parentNode||o.parentNode.removeChild(o)}}}},113(o){o.exports=function(o,e){if(e.styleSheet)e.styleSheet.cssText=o;else{for(;e.firstChild;)e.removeChild(e.firstChild);e.appendChild(document.createTextNode(o))}}},579(o,e,p){var r=p(72),t=p.n(r),i=p(206),a=p.n(i),l=p(659),n=p.n(l),s=p(56),d=p.n(s),c=p(540),m=p.n(c),j=p(113),f=p.n(j),u=p(475),x={};x.styleTagTransform=f(),x.setAttributes=d(),x.insert=n().bind(null,"head"),x.domAPI=a(),x.insertStyleElement=m(),t()(u.A,x),u.A&&u.A.locals&&u.A.locals}}]);