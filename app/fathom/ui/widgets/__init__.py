"""Small widgets that every area uses: labels, buttons, cards, bars, banners, toasts, error dialogs."""
