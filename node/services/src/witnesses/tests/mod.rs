mod asking;
mod cosigning;
mod scene;
