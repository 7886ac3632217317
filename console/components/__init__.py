"""Parts that pages are made of. They draw; they fetch nothing."""
