"""One module per page, the frame around them, and the sign-in."""
