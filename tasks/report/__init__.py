"""What people look at: the page, its plots and the table in the terminal."""
